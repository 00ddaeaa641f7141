//! mmap, brk and relatives.
