//! Where a thread's paths start: root directory, working directory and the umask. Threads share one (clone(2)
//! CLONE_FS), forked processes get a copy.

use crate::fs::Path;
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// Root, working directory and umask.
pub(crate) struct Directories {
    places: SpinLock<Places>,
    umask: AtomicU32,
}

#[derive(Clone)]
struct Places {
    root: Path,
    working: Path,
}

impl Directories {
    /// Makes those of the first process.
    pub(crate) fn new(root: Path) -> Arc<Directories> {
        Directories::with(Places { working: root.clone(), root }, 0o022)
    }

    fn with(places: Places, umask: u32) -> Arc<Directories> {
        Arc::new(Directories { places: SpinLock::new(Rank::Process, places), umask: AtomicU32::new(umask) })
    }

    /// Makes a copy (fork, unshare).
    pub(crate) fn duplicate(&self) -> Arc<Directories> {
        let places = self.places.lock().clone();
        Directories::with(places, self.umask())
    }

    /// Returns root and working directory.
    pub(crate) fn both(&self) -> (Path, Path) {
        let places = self.places.lock();
        (places.root.clone(), places.working.clone())
    }

    /// Changes the root directory.
    pub(crate) fn set_root(&self, path: Path) {
        let _old = core::mem::replace(&mut self.places.lock().root, path);
    }

    /// Changes the working directory.
    pub(crate) fn set_working(&self, path: Path) {
        let _old = core::mem::replace(&mut self.places.lock().working, path);
    }

    /// Returns the umask.
    pub(crate) fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Changes the umask; returns the one before.
    pub(crate) fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Ordering::Relaxed)
    }
}
