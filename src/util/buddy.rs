//! A buddy allocator over page numbers: free blocks of 2^order pages, aligned to their size, in one list per order.
//!
//! The lists run through an array with one node per page that the owner provides, so the pages
//! themselves are never touched. The owner locks.

/// Orders 0 (one page) to `ORDERS - 1` (64 MiB in 4 KiB pages).
pub(crate) const ORDERS: usize = 15;

/// The most pages: node fields have 27 bits for a number.
pub(crate) const MAX_PAGES: usize = NONE as usize;

const NONE: u32 = (1 << 27) - 1;

/// What the allocator knows about a page; all zero is "not free".
#[derive(Clone, Copy, Default)]
pub(crate) struct Node {
    next: u32,
    /// The previous block of the list in the low 27 bits; above them, the order plus one if a free block starts
    /// here.
    previous_and_order: u32,
}

/// The free blocks.
pub(crate) struct Buddy<'a> {
    nodes: &'a mut [Node],
    heads: [u32; ORDERS],
    free: usize,
}

impl<'a> Buddy<'a> {
    /// Makes an allocator without free pages. `nodes` (zeroed, at most `MAX_PAGES`) has one node for each page
    /// number.
    pub(crate) fn new(nodes: &'a mut [Node]) -> Buddy<'a> {
        assert!(nodes.len() <= MAX_PAGES);
        Buddy { nodes, heads: [NONE; ORDERS], free: 0 }
    }

    /// Makes an allocator without any pages, for a `static`.
    pub(crate) const fn empty() -> Buddy<'a> {
        Buddy { nodes: &mut [], heads: [NONE; ORDERS], free: 0 }
    }

    /// Returns how many pages are free.
    pub(crate) fn free_pages(&self) -> usize {
        self.free
    }

    /// Takes a block of 2^`order` pages; returns its first page.
    pub(crate) fn allocate(&mut self, order: usize) -> Option<u32> {
        let found = (order..ORDERS).find(|&larger| self.heads[larger] != NONE)?;
        let page = self.heads[found];
        self.unlink(page, found);

        // The upper halves stay free.
        for half in (order..found).rev() {
            self.link(page + (1 << half), half);
        }
        self.free -= 1 << order;
        Some(page)
    }

    /// Gives back the block of 2^`order` pages that starts at `page`, joining it with its free neighbours.
    pub(crate) fn free(&mut self, page: u32, order: usize) {
        self.free += 1 << order;
        let (mut page, mut order) = (page, order);
        while order + 1 < ORDERS {
            let buddy = page ^ 1 << order;
            if !self.is_free_block(buddy, order) {
                break;
            }
            self.unlink(buddy, order);
            page &= buddy;
            order += 1;
        }
        self.link(page, order);
    }

    /// Gives back the pages from `start` up to `end`, whatever blocks they were.
    pub(crate) fn free_range(&mut self, start: u32, end: u32) {
        let mut page = start;
        while page < end {
            let aligned = page.trailing_zeros().min(ORDERS as u32 - 1);
            let order = aligned.min((end - page).ilog2());
            self.free(page, order as usize);
            page += 1 << order;
        }
    }

    fn is_free_block(&self, page: u32, order: usize) -> bool {
        self.nodes.get(page as usize).is_some_and(|node| node.previous_and_order >> 27 == order as u32 + 1)
    }

    fn link(&mut self, page: u32, order: usize) {
        let next = self.heads[order];
        self.nodes[page as usize] = Node { next, previous_and_order: NONE | (order as u32 + 1) << 27 };
        if next != NONE {
            self.set_previous(next, page);
        }
        self.heads[order] = page;
    }

    fn unlink(&mut self, page: u32, order: usize) {
        let Node { next, previous_and_order } = self.nodes[page as usize];
        let previous = previous_and_order & NONE;
        if previous == NONE {
            self.heads[order] = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.set_previous(next, previous);
        }
        self.nodes[page as usize] = Node::default();
    }

    fn set_previous(&mut self, page: u32, previous: u32) {
        let field = &mut self.nodes[page as usize].previous_and_order;
        *field = *field & !NONE | previous;
    }
}

#[cfg(test)]
mod tests {
    use super::{Buddy, Node, ORDERS};

    #[test]
    fn gives_out_each_page_once_and_joins_them_again() {
        let mut nodes = vec![Node::default(); 1000];
        let mut buddy = Buddy::new(&mut nodes);
        buddy.free_range(3, 997);
        assert_eq!(buddy.free_pages(), 994);

        let mut seen = vec![false; 1000];
        let mut pages = Vec::new();
        while let Some(page) = buddy.allocate(0) {
            assert!((3..997).contains(&page) && !seen[page as usize]);
            seen[page as usize] = true;
            pages.push(page);
        }
        assert_eq!(pages.len(), 994);

        // Back in an unlike order: all must join into the largest blocks that fit.
        pages.sort_by_key(|page| page.wrapping_mul(2_654_435_761));
        for page in pages {
            buddy.free(page, 0);
        }
        assert_eq!(buddy.free_pages(), 994);
        assert_eq!(buddy.allocate(8), Some(256));
        assert_eq!(buddy.allocate(8), Some(512));
        assert_eq!(buddy.allocate(8), None);
    }

    #[test]
    fn blocks_are_aligned_to_their_size_and_disjoint() {
        let mut nodes = vec![Node::default(); 4096];
        let mut buddy = Buddy::new(&mut nodes);
        buddy.free_range(1, 4096);
        let mut used = vec![false; 4096];
        let mut state = 1u32;
        let mut held = Vec::new();
        for _ in 0..10_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 || held.is_empty() {
                let order = (state >> 8) as usize % 6;
                let Some(page) = buddy.allocate(order) else { continue };
                assert_eq!(page % (1 << order), 0);
                for index in page..page + (1 << order) {
                    assert!(!core::mem::replace(&mut used[index as usize], true));
                }
                held.push((page, order));
            } else {
                let (page, order) = held.swap_remove((state >> 8) as usize % held.len());
                used[page as usize..page as usize + (1 << order)].fill(false);
                buddy.free(page, order);
            }
            assert_eq!(buddy.free_pages(), used[1..].iter().filter(|used| !**used).count());
        }
    }

    #[test]
    fn the_largest_block_needs_the_largest_order() {
        let mut nodes = vec![Node::default(); 1 << ORDERS];
        let mut buddy = Buddy::new(&mut nodes);
        buddy.free_range(0, 1 << ORDERS);
        assert!(buddy.allocate(ORDERS - 1).is_some());
        assert!(buddy.allocate(ORDERS - 1).is_some());
        assert!(buddy.allocate(0).is_none());
    }
}
