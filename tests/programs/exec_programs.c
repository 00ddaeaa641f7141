/* execve(2): scripts, errors, limits, what the new program finds. Runs itself with a word as its first argument. */
#include "memory.h"
#include <elf.h>
#include <pthread.h>
#include <sys/auxv.h>

static char self[4096];

static int exit_of(pid_t child)
{
	int status = -1;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Runs a program in a child; returns its exit status, or 200 + errno if it could not be started (errno below 55). */
static int run(const char *path, char *const argv[], char *const envp[])
{
	pid_t child = fork();
	if (child == 0) {
		execve(path, argv, envp);
		_exit(200 + (errno == ELOOP ? 54 : errno));
	}
	return exit_of(child);
}

static void write_file(const char *path, const void *data, size_t length, int mode)
{
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, data, length) != (ssize_t)length || fchmod(fd, mode) != 0 || close(fd) != 0)
		abort();
}

static void script(const char *path, const char *text)
{
	write_file(path, text, strlen(text), 0755);
}

#define ARGV(...) ((char *const[]){__VA_ARGS__, NULL})
#define NO_ENV ((char *const[]){NULL})

/* Prints argv into the file `arguments`, one in brackets after the other. */
static int show_arguments(int argc, char **argv)
{
	FILE *file = fopen("arguments", "w");
	for (int index = 0; index < argc; index++)
		fprintf(file, "[%s]", argv[index]);
	fclose(file);
	return 0;
}

static const char *arguments(void)
{
	static char text[8192];
	memset(text, 0, sizeof text);
	FILE *file = fopen("arguments", "r");
	if (file) {
		if (fread(text, 1, sizeof text - 1, file) == 0)
			text[0] = 0;
		fclose(file);
	}
	unlink("arguments");
	return text;
}

static int check_entry(int argc, char **argv, char **envp)
{
	uintptr_t *words = (uintptr_t *)argv - 1;
	int good = ((uintptr_t)words & 15) == 0 && *words == (uintptr_t)argc && argv[argc] == NULL;
	good = good && argc == 3 && strcmp(argv[2], "two") == 0 && strcmp(envp[0], "A=1") == 0 && strcmp(envp[1], "B=") == 0;
	good = good && envp[2] == NULL && argv[1] + 6 == argv[2] && argv[2] + 4 == envp[0];
	char *name = (char *)getauxval(AT_EXECFN);
	good = good && strcmp(name, self) == 0 && name == envp[1] + 3;
	return good ? 0 : 1;
}

static void test_scripts(void)
{
	char text[8192];
	snprintf(text, sizeof text, "#! %s  arguments  with blanks \nbody", self);
	script("script", text);
	char expected[8192];
	snprintf(expected, sizeof expected, "[%s][arguments  with blanks][./script][x][y]", self);
	check("a script", run("./script", ARGV("name", "x", "y"), NO_ENV) == 0 && strcmp(arguments(), expected) == 0);
	snprintf(text, sizeof text, "#!%s", self);
	script("script", text);
	snprintf(expected, sizeof expected, "[%s][./script]", self);
	check("without an argument", run("./script", ARGV("name"), NO_ENV) == 0 && strcmp(arguments(), expected) == 0);
	script("outer", "#!./script -o\n");
	snprintf(expected, sizeof expected, "[%s][./script][-o][./outer][z]", self);
	check("a script's script", run("./outer", ARGV("name", "z"), NO_ENV) == 0 && strcmp(arguments(), expected) == 0);

	script("nobody", "#!/no/such/interpreter\n");
	check("no interpreter", run("./nobody", ARGV("n"), NO_ENV) == 200 + ENOENT);
	script("empty", "#!  \n");
	check("no name", run("./empty", ARGV("n"), NO_ENV) == 200 + ENOEXEC);
	script("plain", "echo hello\n");
	check("no script at all", run("./plain", ARGV("n"), NO_ENV) == 200 + ENOEXEC);
	write_file("nothing", "", 0, 0755);
	check("an empty file", run("./nothing", ARGV("n"), NO_ENV) == 200 + ENOEXEC);
	script("loop", "#!./loop\n");
	check("a loop", run("./loop", ARGV("n"), NO_ENV) == 254);
	char name[16];
	for (int level = 1; level <= 7; level++) {
		snprintf(name, sizeof name, "level%d", level);
		snprintf(text, sizeof text, "#!./level%d\n", level - 1);
		if (level == 1)
			snprintf(text, sizeof text, "#!%s\n", self);
		script(name, text);
	}
	check("five levels", run("./level5", ARGV("n"), NO_ENV) == 0);
	check("six levels", run("./level6", ARGV("n"), NO_ENV) == 254);
	arguments();
}

static void test_errors(void)
{
	check("no file", run("./missing", ARGV("n"), NO_ENV) == 200 + ENOENT);
	check("a directory", run("/", ARGV("n"), NO_ENV) == 200 + EACCES);
	write_file("data", "#!/bin/sh\n", 10, 0644);
	check("not executable", run("./data", ARGV("n"), NO_ENV) == 200 + EACCES);
	check("below a file", run("./data/x", ARGV("n"), NO_ENV) == 200 + ENOTDIR);
	char *long_string = malloc(200000);
	memset(long_string, 'x', 200000);
	long_string[131071] = 0;
	check("the longest argument", run(self, ARGV("n", "exit", long_string), NO_ENV) == 7);
	long_string[131071] = 'x';
	long_string[131072] = 0;
	check("one byte more", run(self, ARGV("n", "exit", long_string), NO_ENV) == 200 + E2BIG);
	long_string[131072] = 'x';
	long_string[100000] = 0;
	char *many[40];
	for (int index = 0; index < 39; index++)
		many[index] = index == 0 ? "n" : index == 1 ? "exit" : long_string;
	many[20] = NULL;
	check("1.8 MB of arguments", run(self, many, NO_ENV) == 7);
	many[20] = long_string;
	many[39] = NULL;
	check("3.7 MB are too many", run(self, many, NO_ENV) == 200 + E2BIG);
	free(long_string);
	check("argv in no memory", fails_with(syscall(SYS_execve, self, (void *)8, NULL), EFAULT));
	check("path in no memory", fails_with(syscall(SYS_execve, (void *)8, NULL, NULL), EFAULT));
	check("no argv", run(self, NULL, ((char *const[]){"EMPTY=1", NULL})) == 9);
}

static void test_images(void)
{
	int fd = open(self, O_RDONLY);
	static char image[4 << 20];
	ssize_t length = read(fd, image, sizeof image);
	close(fd);
	write_file("copy", image, length, 0755);
	check("a copy", run("./copy", ARGV("n", "exit"), NO_ENV) == 7);
	write_file("copy", image, 64, 0755);
	check("cut after the header", run("./copy", ARGV("n", "exit"), NO_ENV) != 7);
	write_file("copy", image, 40, 0755);
	check("cut in the header", run("./copy", ARGV("n", "exit"), NO_ENV) == 200 + ENOEXEC);

	Elf64_Ehdr *header = (Elf64_Ehdr *)image;
	Elf64_Ehdr saved = *header;
	header->e_machine = EM_386;
	write_file("copy", image, length, 0755);
	check("another machine", run("./copy", ARGV("n", "exit"), NO_ENV) == 200 + ENOEXEC);
	*header = saved;
	header->e_phnum = 0;
	write_file("copy", image, length, 0755);
	check("no program headers", run("./copy", ARGV("n", "exit"), NO_ENV) == 200 + ENOEXEC);
	*header = saved;
	header->e_phoff = 1UL << 60;
	write_file("copy", image, length, 0755);
	check("program headers nowhere", run("./copy", ARGV("n", "exit"), NO_ENV) != 7);
	*header = saved;

	/* Whatever the headers say, the kernel lives and the child ends. */
	unsigned seed = 12345;
	int survived = 1;
	for (int round = 0; round < 60; round++) {
		char damaged[1024];
		memcpy(damaged, image, sizeof damaged);
		for (int change = 0; change < 4; change++) {
			seed = seed * 1103515245 + 12345;
			damaged[16 + (seed >> 8) % 360] = (char)(seed >> 20);
		}
		unlink("copy");
		write_file("copy", image, length, 0755);
		fd = open("copy", O_WRONLY);
		survived = survived && pwrite(fd, damaged, sizeof damaged, 0) == sizeof damaged;
		close(fd);
		pid_t child = fork();
		if (child == 0) {
			alarm(2);
			close(1);
			close(2);
			execve("./copy", ARGV("n", "exit"), NO_ENV);
			_exit(1);
		}
		exit_of(child);
	}
	check("damaged headers", survived);
	unlink("copy");
}

static void test_own_loader(void)
{
	/* A program that loads itself anywhere (no interpreter): its status is 0 if brk(0) is at a page's start. */
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
		unsigned char code[32];
	} image = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_DYN,
			.e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1, .e_phoff = sizeof(Elf64_Ehdr),
			.e_entry = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
		},
		.segment = { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = sizeof image, .p_memsz = sizeof image,
			     .p_align = 4096 },
		.code = { 0xb8, 12, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05, /* brk(0) */
			  0x25, 0xff, 0x0f, 0, 0, 0xf7, 0xd8, 0x19, 0xff, /* and eax, 4095; neg eax; sbb edi, edi */
			  0xb8, 60, 0, 0, 0, 0x0f, 0x05 }, /* exit(edi) */
	};
	write_file("loader", &image, sizeof image, 0755);
	check("the heap of a static PIE starts a page", run("./loader", ARGV("n"), NO_ENV) == 0);
	unlink("loader");
}

static void test_descriptors(void)
{
	int fd = open(self, O_RDONLY | O_CLOEXEC);
	pid_t child = fork();
	if (child == 0) {
		syscall(SYS_execveat, fd, "", ARGV("n", "exit"), NO_ENV, AT_EMPTY_PATH);
		_exit(200 + errno);
	}
	check("execveat of a descriptor", exit_of(child) == 7);
	check("execveat without a name", fails_with(syscall(SYS_execveat, fd, "", ARGV("n"), NO_ENV, 0), ENOENT));
	check("execveat below a file", fails_with(syscall(SYS_execveat, fd, "x", ARGV("n"), NO_ENV, 0), ENOTDIR));
	close(fd);
	check("execveat of a closed one", fails_with(syscall(SYS_execveat, fd, "", ARGV("n"), NO_ENV, AT_EMPTY_PATH), EBADF));
}

static int borrowed[2];

static void *lend_memory(void *argument)
{
	(void)argument;
	if (vfork() == 0) {
		write(borrowed[1], "x", 1);
		for (;;)
			pause();
	}
	return NULL;
}

/* The thread that waits for its vfork's child ends all the same when another executes a program. */
static void test_lender(void)
{
	pipe(borrowed);
	pid_t child = fork();
	if (child == 0) {
		pthread_t thread;
		char byte;
		setpgid(0, 0);
		pthread_create(&thread, NULL, lend_memory, NULL);
		read(borrowed[0], &byte, 1);
		execve(self, ARGV("n", "exit"), NO_ENV);
		_exit(1);
	}
	int status = exit_of(child);
	kill(-child, SIGKILL);
	check("exec while a thread waits for its vfork", status == 7);
}

int main(int argc, char **argv, char **envp)
{
	if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
		return 99;
	if (argc == 0 || argv[0][0] == 0)
		return argc == 1 && strcmp(envp[0], "EMPTY=1") == 0 ? 9 : 10;
	if (argc > 1 && strcmp(argv[1], "exit") == 0)
		return 7;
	if (argc > 1 && strcmp(argv[1], "entry") == 0)
		return check_entry(argc, argv, envp);
	if (strstr(argv[0], "exec_programs") && access("script", F_OK) == 0)
		return show_arguments(argc, argv);

	char folder[] = "exec-test-XXXXXX";
	if (!mkdtemp(folder) || chdir(folder))
		return 98;
	check("the first stack", run(self, ARGV("n", "entry", "two"), ((char *const[]){"A=1", "B=", NULL})) == 0);
	test_scripts();
	unlink("script");
	test_errors();
	test_descriptors();
	test_own_loader();
	test_images();
	test_lender();
	return finish();
}
