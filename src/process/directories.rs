//! Where a thread's paths start: root directory, working directory and the umask. Threads share one (clone(2)
//! CLONE_FS), forked processes get a copy.

use crate::fs::{Path, Places, namespace};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// Root, working directory and umask.
pub(crate) struct Directories {
    places: SpinLock<Arc<Places>>,
    umask: AtomicU32,
}

impl Directories {
    /// Makes those of the first process: the root of all mounts.
    #[cold]
    pub(crate) fn first() -> Arc<Directories> {
        let root = namespace().root().root_path();
        Directories::with(Arc::new(Places { working: root.clone(), root }), 0o022)
    }

    fn with(places: Arc<Places>, umask: u32) -> Arc<Directories> {
        let places = SpinLock::new(Rank::Directories, places);
        Arc::new(Directories { places, umask: AtomicU32::new(umask) })
    }

    /// Makes a copy (fork, unshare).
    pub(crate) fn duplicate(&self) -> Arc<Directories> {
        let (places, umask) = self.places();
        Directories::with(places, umask)
    }

    /// Returns root and working directory, and the umask.
    #[inline(always)]
    pub(crate) fn places(&self) -> (Arc<Places>, u32) {
        (self.places.lock().clone(), self.umask.load(Ordering::Relaxed))
    }

    /// Changes the root directory.
    pub(crate) fn set_root(&self, path: Path) {
        self.change(|places| Places { root: path, working: places.working.clone() });
    }

    /// Changes the working directory.
    pub(crate) fn set_working(&self, path: Path) {
        self.change(|places| Places { root: places.root.clone(), working: path });
    }

    fn change(&self, change: impl FnOnce(&Places) -> Places) {
        let _old = {
            let mut places = self.places.lock();
            let new = Arc::new(change(&places));
            core::mem::replace(&mut *places, new)
        };
    }

    /// Changes the umask; returns the one before.
    pub(crate) fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Ordering::Relaxed)
    }
}
