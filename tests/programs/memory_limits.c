/* What bounds an address space: the number of areas, offsets, what lies behind a file's end. */
#include "memory.h"

#define AREAS 65530

/* Without the heap, which cannot grow at the limit. */
static int count_areas(void)
{
	static char text[1 << 16];
	int fd = open("/proc/self/maps", O_RDONLY), lines = 0;
	ssize_t length;
	while ((length = read(fd, text, sizeof text)) > 0)
		for (ssize_t at = 0; at < length; at++)
			lines += text[at] == '\n';
	close(fd);
	return lines;
}

/* Every second page of a large area gets another protection, until no more areas are allowed. */
static void test_areas(void)
{
	size_t pages = 2 * AREAS;
	char *area = map(NULL, pages * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	char *pair = map(NULL, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS);
	size_t page = 1;
	while (page < pages && mprotect(area + page * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0)
		page += 2;
	check("mprotect ends at the limit", page < pages && errno == ENOMEM);
	int count = count_areas();
	check("which is near 65530", count > AREAS - 8 && count <= AREAS + 4);
	char *rest = area + (page + 3) * PAGE;
	check("mprotect of a middle", fails_with(mprotect(rest, PAGE, PROT_NONE), ENOMEM));
	check("munmap of a middle", fails_with(munmap(rest, PAGE), ENOMEM));
	check("mlock of a middle", fails_with(mlock(rest, PAGE), ENOMEM));
	check("madvise of a middle", fails_with(madvise(rest, PAGE, MADV_DONTFORK), EAGAIN));
	check("mremap of a middle", fails_with(mremap(rest, PAGE, 2 * PAGE, MREMAP_MAYMOVE), ENOMEM));
	check("mremap over a middle",
	      fails_with(mremap(pair, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, rest), ENOMEM));
	check("no protection is no change", mprotect(rest, PAGE, PROT_READ) == 0);
	check("an end can be unmapped", munmap(area + (pages - 1) * PAGE, PAGE) == 0);
	int mapped = 0;
	while (mapped < 16 && map(NULL, PAGE, mapped & 1 ? PROT_NONE : PROT_READ, MAP_SHARED | MAP_ANONYMOUS) != MAP_FAILED)
		mapped++;
	check("mmap ends at the limit", mapped < 16 && errno == ENOMEM);
	check("all can go", munmap(area, pages * PAGE) == 0 && count_areas() < 100);
}

static void test_offsets(void)
{
	int fd = temporary_file(PAGE);
	check("an offset that wraps", fails_with(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, -PAGE), EOVERFLOW));
	check("one that wraps with the length",
	      fails_with(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, -2 * PAGE), EOVERFLOW));
	check("one beyond the largest file",
	      fails_with(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0x7ffffffffffff000), EOVERFLOW));
	close(fd);
}

/* What a mapping stored behind the end does not appear when the file grows. */
static void test_tails(void)
{
	for (int way = 0; way < 3; way++) {
		int fd = memfd_create("tail", 0);
		ftruncate(fd, 100);
		char *view = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), byte = 1;
		memset(view, 'x', PAGE);
		ftruncate(fd, way == 0 ? 50 : 100);
		if (way == 2) {
			pwrite(fd, "y", 1, 300);
			check("a write beyond keeps what it wrote", view[300] == 'y' && view[99] == 'x');
		} else {
			ftruncate(fd, 200);
		}
		check("the tail is zero", pread(fd, &byte, 1, way == 0 ? 50 : 150) == 1 && byte == 0);
		munmap(view, PAGE);
		close(fd);
	}
}

int main(void)
{
	test_areas();
	test_offsets();
	test_tails();
	return finish();
}
