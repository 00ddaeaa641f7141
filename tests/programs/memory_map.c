/* mmap(2) and munmap(2): places, errors, faults, splitting. */
#include "memory.h"

int main(void)
{
	catch_faults();
	int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

	char *area = map_private(8 * PAGE);
	check("anonymous memory is zero", area != MAP_FAILED && area[0] == 0 && area[8 * PAGE - 1] == 0);
	area[5] = 7;
	area[3 * PAGE] = 9;
	check("and can be written", area[5] == 7 && area[3 * PAGE] == 9);
	check("read first, written later", area[4 * PAGE] == 0 && (area[4 * PAGE] = 4) == 4);

	check("length 0", fails_with(map(NULL, 0, rw, anonymous), EINVAL));
	check("no type", fails_with(map(NULL, PAGE, rw, MAP_ANONYMOUS), EINVAL));
	check("fixed, not aligned", fails_with(map(area + 1, PAGE, rw, anonymous | MAP_FIXED), EINVAL));
	check("offset not aligned", fails_with(syscall(SYS_mmap, NULL, PAGE, rw, anonymous, -1, 5), EINVAL));
	check("too long", fails_with(map(NULL, 1UL << 47, rw, anonymous), ENOMEM));
	check("far too long", fails_with(map(NULL, -1UL, rw, anonymous), ENOMEM));
	check("bad descriptor", fails_with(mmap(NULL, PAGE, rw, MAP_PRIVATE, 1000, 0), EBADF));
	check("length 0 of a bad descriptor", fails_with(mmap(NULL, 0, rw, MAP_PRIVATE, 1000, 0), EBADF));
	check("no replace over something",
	      fails_with(map(area, PAGE, rw, anonymous | MAP_FIXED_NOREPLACE), EEXIST));
	check("fixed beyond user space", fails_with(map((void *)0x7ffffffff000, PAGE, rw, anonymous | MAP_FIXED), ENOMEM));
	check("huge pages without a pool", fails_with(map(NULL, 1 << 21, rw, anonymous | MAP_HUGETLB), ENOMEM));
	check("shared and growing down",
	      fails_with(map(NULL, PAGE, rw, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN), EINVAL));
	int pipes[2];
	check("a pipe", pipe(pipes) == 0 && fails_with(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0), ENODEV));
	check("a pipe's end that cannot be read",
	      fails_with(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[1], 0), EACCES));

	check("unmap the middle", munmap(area + 2 * PAGE, 2 * PAGE) == 0);
	check("a read there faults", touch(area + 2 * PAGE, 0) == SIGSEGV && fault_code == SEGV_MAPERR &&
					 fault_address == area + 2 * PAGE);
	check("the ends stay", area[5] == 7 && area[4 * PAGE] == 4);
	check("unmap a hole", munmap(area + 2 * PAGE, 2 * PAGE) == 0);
	check("unmap nothing", fails_with(munmap(area, 0), EINVAL));
	check("unmap at an odd address", fails_with(munmap(area + 1, PAGE), EINVAL));
	check("unmap beyond user space", fails_with(munmap((void *)0x7fffffffe000, 1 << 20), EINVAL));

	char *hint = area + 2 * PAGE;
	check("a free hint is taken", map(hint, PAGE, rw, anonymous) == hint && hint[0] == 0);
	char *other = map(hint, PAGE, rw, anonymous);
	check("a used hint is not", other != MAP_FAILED && other != hint);
	check("fixed replaces", map(area, PAGE, rw, anonymous | MAP_FIXED) == area && area[5] == 0);
	munmap(other, PAGE);
	check("no replace where free", map(area + 3 * PAGE, PAGE, rw, anonymous | MAP_FIXED_NOREPLACE) == area + 3 * PAGE);
	check("an odd hint", ((uintptr_t)map(area + 3, PAGE, rw, anonymous) & (PAGE - 1)) == 0);

	char *none = map(NULL, 4UL << 30, PROT_NONE, anonymous | MAP_NORESERVE);
	check("a large reservation", none != MAP_FAILED);
	check("cannot be read", touch(none, 0) == SIGSEGV && fault_code == SEGV_ACCERR);
	check("a part of it can be used", mprotect(none + (1UL << 30), PAGE, rw) == 0 && touch(none + (1UL << 30), 1) == 0);
	check("and unmapped", munmap(none, 4UL << 30) == 0);

	char *shared = map(NULL, 3 * PAGE, rw, MAP_SHARED | MAP_ANONYMOUS);
	shared[PAGE] = 3;
	check("shared memory between processes", fork() ? (wait(NULL), shared[PAGE] == 5 && shared[2 * PAGE] == 6)
							 : (shared[PAGE] += 2, shared[2 * PAGE] = 6, _exit(0), 0));

	char *populated = map(NULL, 16 * PAGE, rw, anonymous | MAP_POPULATE);
	unsigned char present[16];
	check("populate", mincore(populated, 16 * PAGE, present) == 0 && (present[0] & 1) && (present[15] & 1));
	/* What cannot be there ends the populating of a mapping: 2^32 pages would be looked at in vain for hours. */
	char *beyond = mmap(NULL, 1UL << 44, PROT_READ, MAP_SHARED | MAP_POPULATE, temporary_file(PAGE), 0);
	check("populate beyond the file", beyond != MAP_FAILED && beyond[0] == 'a');
	check("populate by advice", fails_with(madvise(beyond, 1UL << 44, 22 /* MADV_POPULATE_READ */), EFAULT));
	munmap(beyond, 1UL << 44);
	char *fresh = map_private(4 * PAGE);
	fresh[PAGE] = 1;
	check("mincore sees what is there", mincore(fresh, 4 * PAGE, present) == 0 && !(present[0] & 1) && (present[1] & 1));
	check("mincore of a hole", munmap(fresh, PAGE) == 0 && fails_with(mincore(fresh, 2 * PAGE, present), ENOMEM));
	check("mincore at an odd address", fails_with(mincore(fresh + 1, PAGE, present), EINVAL));
	check("mincore to a bad address", fails_with(mincore(fresh + PAGE, PAGE, (void *)8), EFAULT));

	check("a write to code", touch((char *)main, 1) == SIGSEGV && fault_code == SEGV_ACCERR);
	check("a read of address 0", touch(NULL, 0) == SIGSEGV && fault_code == SEGV_MAPERR);

	check("a read call into a bad buffer", fails_with(read(open("/proc/self/exe", O_RDONLY), area + (1UL << 45), 10), EFAULT) ||
						  errno == EFAULT);
	char *edge = map_private(2 * PAGE);
	munmap(edge + PAGE, PAGE);
	int fd = temporary_file(PAGE);
	check("a read call over the edge is short", pread(fd, edge + PAGE - 100, 200, 0) == 100 && edge[PAGE - 1] == 'a');
	check("a write call over the edge is short", pwrite(fd, edge + PAGE - 100, 200, 0) == 100);
	check("a path over the edge", (memset(edge + PAGE - 4, 'x', 4), fails_with(open(edge + PAGE - 4, O_RDONLY), EFAULT)));
	check("a path at the edge", (edge[PAGE - 1] = 0, fails_with(open(edge + PAGE - 4, O_RDONLY), ENOENT)));
	char *low = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	check("a low one", low != MAP_FAILED && (uintptr_t)low + 3 * PAGE <= 1UL << 31 && touch(low, 1) == 0);
	char *lower = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	check("and another", lower != MAP_FAILED && (uintptr_t)lower + PAGE <= 1UL << 31 && (lower < low || lower >= low + 3 * PAGE));
	check("one too large to be low", fails_with(mmap(NULL, 3UL << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0), ENOMEM));

	enum { KEEP = 4 /* MREMAP_DONTUNMAP */ };
	low[PAGE] = 'k';
	char *moved = mremap(low, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | KEEP);
	check("moved, and the old place stays", moved != MAP_FAILED && moved != low && moved[PAGE] == 'k' && low[PAGE] == 0 &&
						    touch(low, 1) == 0 && touch(moved + 2 * PAGE, 1) == 0);
	check("of the same length only", fails_with(mremap(low, 3 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | KEEP), EINVAL) &&
					     fails_with(mremap(low, 3 * PAGE, 3 * PAGE, KEEP), EINVAL));
	moved[PAGE] = 'm';
	char *part = mremap(moved + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | KEEP);
	check("a part", part != MAP_FAILED && part[0] == 'm' && moved[PAGE] == 0 && munmap(moved, 3 * PAGE) == 0 && part[0] == 'm');
	return finish();
}
