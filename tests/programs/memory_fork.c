/* Copy on write: parent, child and grandchild see their own stores and nobody else's. */
#include "memory.h"

#define PAGES 300

static char in_data[3 * PAGE] = {1};
static char in_bss[3 * PAGE];

static int exit_of(pid_t child)
{
	int status = -1;
	waitpid(child, &status, 0);
	return status;
}

static int is_filled(const char *area, char value)
{
	for (int page = 0; page < PAGES; page++)
		if (area[page * PAGE] != value || area[page * PAGE + PAGE - 1] != value)
			return 0;
	return 1;
}

static void fill(char *area, char value)
{
	for (int page = 0; page < PAGES; page++)
		area[page * PAGE] = area[page * PAGE + PAGE - 1] = value;
}

int main(void)
{
	char *area = map_private(PAGES * PAGE);
	fill(area, 1);
	pid_t child = fork();
	if (child == 0) {
		int good = is_filled(area, 1);
		fill(area, 2);
		pid_t grandchild = fork();
		if (grandchild == 0) {
			good = good && is_filled(area, 2);
			fill(area, 3);
			_exit(!(good && is_filled(area, 3)));
		}
		good = good && exit_of(grandchild) == 0 && is_filled(area, 2);
		_exit(!good);
	}
	check("child and grandchild", exit_of(child) == 0);
	check("the parent keeps its own", is_filled(area, 1));

	child = fork();
	if (child == 0) {
		sleep(1);
		_exit(!is_filled(area, 1));
	}
	fill(area, 4);
	check("stores of the parent stay away from the child", exit_of(child) == 0 && is_filled(area, 4));

	int local = 11;
	in_bss[PAGE] = 5;
	char *heap = malloc(100000);
	memset(heap, 6, 100000);
	child = fork();
	if (child == 0) {
		int good = local == 11 && in_data[0] == 1 && in_bss[PAGE] == 5 && heap[99999] == 6;
		local = 12;
		in_data[0] = in_data[PAGE] = 7;
		in_bss[0] = in_bss[PAGE] = 7;
		memset(heap, 7, 100000);
		_exit(!(good && local == 12 && heap[0] == 7));
	}
	check("stack, data, bss and heap", exit_of(child) == 0 && local == 11 && in_data[0] == 1 && in_data[PAGE] == 0 &&
					       in_bss[0] == 0 && in_bss[PAGE] == 5 && heap[0] == 6);

	int fd = temporary_file(4 * PAGE);
	char *private = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	private[0] = 'x';
	child = fork();
	if (child == 0) {
		int good = private[0] == 'x' && private[PAGE] == 'b';
		private[0] = 'y';
		private[PAGE] = 'y';
		_exit(!good);
	}
	check("a private file mapping", exit_of(child) == 0 && private[0] == 'x' && private[PAGE] == 'b');
	char first;
	check("the file is untouched", pread(fd, &first, 1, 0) == 1 && first == 'a');

	char *shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	child = fork();
	if (child == 0) {
		shared[2 * PAGE] = 'z';
		_exit(0);
	}
	check("a shared file mapping", exit_of(child) == 0 && shared[2 * PAGE] == 'z' && pread(fd, &first, 1, 2 * PAGE) == 1 &&
					   first == 'z');

	int pipes[2];
	check("a read call breaks the sharing", pipe(pipes) == 0);
	child = fork();
	if (child == 0) {
		fill(area, 9);
		_exit(read(pipes[0], area, 1) != 1 || area[0] != 'p');
	}
	if (write(pipes[1], "p", 1) != 1)
		abort();
	check("in the child only", exit_of(child) == 0 && is_filled(area, 4));

	int good = 1;
	for (int round = 0; round < 50; round++) {
		child = fork();
		if (child == 0) {
			area[round * PAGE] = 100;
			_exit(area[round * PAGE] != 100);
		}
		good = good && exit_of(child) == 0;
	}
	check("fifty children", good && is_filled(area, 4));
	return finish();
}
