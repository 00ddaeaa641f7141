//! Walking a name component by component: `.` and `..`, mounts, symbolic links, search permission; the rules of
//! path_resolution(7), the order of errors as Linux has it.

use super::dentry::NAME_LIMIT;
use super::permission::{self, Access};
use super::{Dentry, Path, View};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;

/// The longest path, its NUL counted (PATH_MAX).
pub(crate) const PATH_LIMIT: usize = 4096;

/// "ELOOP Too many symbolic links": more than this many on one walk (path_resolution(7)).
const LINK_LIMIT: u32 = 40;

bitflags! {
    /// How openat2(2) restricts a walk (RESOLVE_*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Restrictions: u64 {
        /// EXDEV on leaving the mount.
        const NO_OTHER_MOUNT = 1;
        /// ELOOP on a magic link.
        const NO_MAGIC_LINKS = 2;
        /// ELOOP on any symbolic link.
        const NO_LINKS = 4;
        /// EXDEV on leaving the tree below the start.
        const BENEATH = 8;
        /// The start is the root, for absolute names and links too.
        const IN_ROOT = 16;
    }
}

/// The last component of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// A name that may exist or not.
    Name(Vec<u8>),
    /// `.`: the parent found is the place itself.
    This,
    /// `..`.
    Above,
    /// The name was only slashes: the place itself.
    Root,
}

/// Where a name's last component is or would be.
pub(super) struct Parent {
    pub(super) place: Path,
    pub(super) last: Last,
    /// A slash follows the last component: it must be (or become) a directory.
    pub(super) has_slash: bool,
}

/// A walk under way.
pub(super) struct Walk<'a> {
    view: &'a View,
    place: Path,
    text: Cow<'a, [u8]>,
    /// Where in `text` the next component starts.
    next: usize,
    links: u32,
    restrictions: Restrictions,
}

/// The next component: its range in the text, and what follows.
struct Component {
    start: usize,
    end: usize,
    is_last: bool,
    has_slash: bool,
}

impl View {
    /// Walks `name` to what it names; follows a last symbolic link if `follow`.
    pub(crate) fn look_up(&self, name: &[u8], follow: bool) -> Result<Path> {
        Walk::new(self, name)?.finish(follow)
    }

    /// Walks `name` up to its last component, which may be missing.
    pub(super) fn look_up_parent(&self, name: &[u8]) -> Result<Parent> {
        let mut walk = Walk::new(self, name)?;
        walk.parent()
    }
}

impl<'a> Walk<'a> {
    /// Starts a walk. ENOENT for an empty name, ENAMETOOLONG.
    pub(super) fn new(view: &'a View, name: &'a [u8]) -> Result<Walk<'a>> {
        Walk::restricted(view, name, Restrictions::empty())
    }

    /// Starts a walk that must keep to restrictions; for `IN_ROOT` the view's root is its start already.
    pub(super) fn restricted(view: &'a View, name: &'a [u8], restrictions: Restrictions) -> Result<Walk<'a>> {
        Errno::ENOENT.when(name.is_empty())?;
        Errno::ENAMETOOLONG.when(name.len() >= PATH_LIMIT)?;
        let is_absolute = name[0] == b'/';
        Errno::EXDEV.when(is_absolute && restrictions.contains(Restrictions::BENEATH))?;
        let place = if is_absolute { view.root().clone() } else { view.start().clone() };
        Ok(Walk { view, place, text: Cow::Borrowed(name), next: 0, links: 0, restrictions })
    }

    /// Walks to the end.
    pub(super) fn finish(mut self, follow: bool) -> Result<Path> {
        loop {
            let Some(component) = self.advance()? else { return Ok(self.place) };
            match &self.text[component.start..component.end] {
                b"." => {}
                b".." => self.place = self.above()?,
                name => {
                    let found = self.place.entry.child(name)?;
                    if found.kind() == FileKind::Symlink && (follow || component.has_slash) {
                        self.follow(&found, component.end)?;
                        continue;
                    }
                    self.enter(found)?;
                }
            }
            Errno::ENOTDIR.when(component.has_slash && !self.place.entry.is_directory())?;
            return Ok(self.place);
        }
    }

    /// Walks to the last component's directory. The walk can go on from there with `follow_last`.
    pub(super) fn parent(&mut self) -> Result<Parent> {
        let Some(component) = self.advance()? else {
            return Ok(Parent { place: self.place.clone(), last: Last::Root, has_slash: false });
        };
        let last = match &self.text[component.start..component.end] {
            b"." => Last::This,
            b".." => Last::Above,
            name => Last::Name(name.to_vec()),
        };
        Ok(Parent { place: self.place.clone(), last, has_slash: component.has_slash })
    }

    /// Goes on into the symbolic link that the last component of `parent` turned out to be.
    pub(super) fn follow_last(&mut self, link: &Dentry) -> Result {
        let end = self.text.len();
        self.follow(link, end)
    }

    /// Walks up to the last component and returns it; `None` if there is none left.
    fn advance(&mut self) -> Result<Option<Component>> {
        loop {
            let Some(component) = self.next_component() else { return Ok(None) };
            permission::check(&self.view.identity, &**self.place.entry.inode(), Access::EXECUTE)?;
            if component.is_last {
                return Ok(Some(component));
            }
            self.next = component.end;
            match &self.text[component.start..component.end] {
                b"." => continue,
                b".." => self.place = self.above()?,
                name => {
                    let found = self.place.entry.child(name)?;
                    if found.kind() == FileKind::Symlink {
                        self.follow(&found, component.end)?;
                        continue;
                    }
                    self.enter(found)?;
                }
            }
            Errno::ENOTDIR.when(!self.place.entry.is_directory())?;
        }
    }

    /// Goes on to an entry of the place, or to what is mounted there.
    fn enter(&mut self, entry: Arc<Dentry>) -> Result {
        self.place.entry = entry;
        if self.place.entry.is_mount_point() {
            self.place = self.place.clone().descend();
        }
        self.check_mount(&self.place)
    }

    /// Returns the directory above the place.
    pub(super) fn above(&self) -> Result<Path> {
        Errno::EXDEV
            .when(self.restrictions.contains(Restrictions::BENEATH) && self.place.is_same(self.view.start()))?;
        let above = self.place.clone().parent(self.view.root());
        self.check_mount(&above)?;
        Ok(above)
    }

    /// EXDEV if the walk must not leave its mount and `to` lies in another.
    pub(super) fn check_mount(&self, to: &Path) -> Result {
        let leaves = self.restrictions.contains(Restrictions::NO_OTHER_MOUNT)
            && !Arc::ptr_eq(&to.mount, &self.view.start().mount);
        if leaves { Err(Errno::EXDEV) } else { Ok(()) }
    }

    fn next_component(&self) -> Option<Component> {
        let text = &self.text;
        let skip_slashes = |from: usize| from + text[from..].iter().take_while(|byte| **byte == b'/').count();
        let start = skip_slashes(self.next);
        if start == text.len() {
            return None;
        }
        let end = start + text[start..].iter().take_while(|byte| **byte != b'/').count();
        let after = skip_slashes(end);
        Some(Component { start, end, is_last: after == text.len(), has_slash: after > end })
    }

    /// Puts the link's text in front of what is left after `end`, or jumps where a magic link leads.
    fn follow(&mut self, link: &Dentry, end: usize) -> Result {
        self.links += 1;
        Errno::ELOOP.when(self.links > LINK_LIMIT)?;
        Errno::ELOOP.when(self.restrictions.contains(Restrictions::NO_LINKS))?;
        let rest = self.text[end..].to_vec();
        let inode = link.inode();
        if let Some(target) = inode.follow() {
            Errno::ELOOP.when(self.restrictions.contains(Restrictions::NO_MAGIC_LINKS))?;
            // Where a magic link leads is outside of any tree that could be kept to.
            Errno::EXDEV.when(self.restrictions.intersects(Restrictions::BENEATH | Restrictions::IN_ROOT))?;
            let target = target?;
            self.check_mount(&target)?;
            self.place = target;
            // An empty rest leaves the walk at the target; slashes alone require a directory, as "." after them does.
            Errno::ENOTDIR.when(!rest.is_empty() && !self.place.entry.is_directory())?;
            self.text = Cow::Owned(rest);
            self.next = 0;
            return Ok(());
        }
        let mut text = inode.read_link()?;
        Errno::ENOENT.when(text.is_empty())?;
        if text[0] == b'/' {
            Errno::EXDEV.when(self.restrictions.contains(Restrictions::BENEATH))?;
            self.check_mount(self.view.root())?;
            self.place = self.view.root().clone();
        }
        text.extend_from_slice(&rest);
        self.text = Cow::Owned(text);
        self.next = 0;
        Ok(())
    }
}

impl Path {
    /// Finds the entry `name` of this directory, and what is mounted there.
    pub(super) fn child(&self, name: &[u8]) -> Result<Path> {
        Errno::ENAMETOOLONG.when(name.len() > NAME_LIMIT)?;
        let entry = self.entry.child(name)?;
        Ok(Path { mount: self.mount.clone(), entry }.descend())
    }
}
