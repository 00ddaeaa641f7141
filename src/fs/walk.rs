//! Walking a name component by component: `.` and `..`, mounts, symbolic links, search permission; the rules of
//! path_resolution(7), the order of errors as Linux has it.

use super::names::Name;
use super::permission::{self, Access};
use super::{Dentry, Path, View};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use alloc::{borrow::Cow, sync::Arc};
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
#[derive(Clone, Copy, Debug)]
pub(super) enum Last<'w> {
    /// A name that may exist or not.
    Name(Name<'w>),
    /// `.`: the parent found is the place itself.
    This,
    /// `..`.
    Above,
    /// The name was only slashes: the place itself.
    Root,
}

/// Where a name's last component is or would be.
pub(super) struct Parent<'w> {
    pub(super) place: &'w Path,
    pub(super) last: Last<'w>,
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

/// How far a walk came by itself.
struct Reached {
    place: Path,
    /// Where in the text it stands now.
    next: usize,
    /// A symbolic link that is to be followed from there.
    link: Option<Arc<Dentry>>,
}

impl View {
    /// Walks `name` to what it names; follows a last symbolic link if `follow`.
    pub(crate) fn look_up(&self, name: &[u8], follow: bool) -> Result<Path> {
        self.look_up_restricted(name, follow, Restrictions::empty())
    }

    /// The same for a walk that must keep to restrictions.
    #[inline(never)]
    pub(super) fn look_up_restricted(&self, name: &[u8], follow: bool, restrictions: Restrictions) -> Result<Path> {
        Ok(Walk::restricted(self, name, restrictions)?.go(follow, true)?.place)
    }
}

impl<'a> Walk<'a> {
    /// Starts a walk. ENOENT for an empty name, ENAMETOOLONG.
    #[inline]
    pub(super) fn new(view: &'a View, name: &'a [u8]) -> Result<Walk<'a>> {
        Walk::restricted(view, name, Restrictions::empty())
    }

    /// Starts a walk that must keep to restrictions; for `IN_ROOT` the view's root is its start already.
    #[inline]
    pub(super) fn restricted(view: &'a View, name: &'a [u8], restrictions: Restrictions) -> Result<Walk<'a>> {
        let first = *name.first().ok_or(Errno::ENOENT)?;
        Errno::ENAMETOOLONG.when(name.len() >= PATH_LIMIT)?;
        let is_absolute = first == b'/';
        Errno::EXDEV.when(is_absolute && restrictions.contains(Restrictions::BENEATH))?;
        let place = if is_absolute { view.root().clone() } else { view.start().clone() };
        let next = count_slashes(name);
        Ok(Walk { view, place, text: Cow::Borrowed(name), next, links: 0, restrictions })
    }

    /// Walks to the last component's directory.
    pub(super) fn enter_parent(self) -> Result<Walk<'a>> {
        self.go(true, false)
    }

    /// Walks to the end, or if not `enters_last` to the last component; follows that if it is a symbolic link and `follow`.
    #[inline(always)]
    fn go(mut self, follow: bool, enters_last: bool) -> Result<Walk<'a>> {
        loop {
            let Walk { view, place, text, next, restrictions, .. } = self;
            let Reached { place, next, link } = walk(view, place, &text, next, restrictions, follow, enters_last)?;
            self = Walk { place, text, next, ..self };
            let Some(link) = link else { return Ok(self) };
            self = self.follow(&link, next)?;
        }
    }

    /// Returns where the last component is or would be, once the walk has come there.
    pub(super) fn parent(&self) -> Parent<'_> {
        let name = Name::first(&self.text[self.next..]);
        let last = match name.bytes {
            b"" => Last::Root,
            b"." => Last::This,
            b".." => Last::Above,
            _ => Last::Name(name),
        };
        Parent { place: &self.place, last, has_slash: self.next + name.bytes.len() < self.text.len() }
    }

    /// Goes on into the symbolic link that the last component of `parent` turned out to be.
    pub(super) fn follow_last(self, link: &Dentry) -> Result<Walk<'a>> {
        let end = self.text.len();
        self.follow(link, end)
    }

    /// Returns the directory above the place.
    #[inline(always)]
    pub(super) fn above(&self) -> Result<Path> {
        above(self.view, self.place.clone(), self.restrictions)
    }

    /// EXDEV if the walk must not leave its mount and `to` lies in another.
    #[inline]
    pub(super) fn check_mount(&self, to: &Path) -> Result {
        check_mount(self.view, to, self.restrictions)
    }

    /// Puts the link's text in front of what is left after `end`, or jumps where a magic link leads.
    #[inline(never)]
    fn follow(mut self, link: &Dentry, end: usize) -> Result<Walk<'a>> {
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
            self.next = count_slashes(&rest);
            self.text = Cow::Owned(rest);
            return Ok(self);
        }
        let mut text = inode.read_link()?;
        Errno::ENOENT.when(text.is_empty())?;
        if text[0] == b'/' {
            Errno::EXDEV.when(self.restrictions.contains(Restrictions::BENEATH))?;
            self.check_mount(self.view.root())?;
            self.place = self.view.root().clone();
        }
        text.extend_from_slice(&rest);
        self.next = count_slashes(&text);
        self.text = Cow::Owned(text);
        Ok(self)
    }
}

/// Walks from `place` over the components of `text` from `next` on, up to a link that is to be followed. What `Walk` has
/// besides are no local variables here: the fewer there are, the cheaper is each step.
#[inline(always)]
fn walk(
    view: &View, mut place: Path, text: &[u8], mut next: usize, restrictions: Restrictions, follow: bool,
    enters_last: bool,
) -> Result<Reached> {
    while next < text.len() {
        // EACCES if the place may not be searched.
        permission::check(&view.identity, &**place.entry.inode(), Access::EXECUTE)?;
        let name = Name::first(&text[next..]);
        let end = next + name.bytes.len();
        let after = end + count_slashes(&text[end..]);
        let has_slash = after > end;
        if after == text.len() && !enters_last {
            break;
        }
        match name.bytes {
            b"." => {}
            b".." => place = above(view, place, restrictions)?,
            _ => {
                let found = place.entry.child(name)?;
                if found.kind() == FileKind::Symlink && (follow || has_slash) {
                    return Ok(Reached { place, next: end, link: Some(found) });
                }
                place.entry = found;
                if place.entry.is_mount_point() {
                    place = place.descend();
                }
                check_mount(view, &place, restrictions)?;
            }
        }
        next = after;
        Errno::ENOTDIR.when(has_slash && !place.entry.is_directory())?;
    }
    Ok(Reached { place, next, link: None })
}

/// Returns the directory above `place`.
#[inline(never)]
fn above(view: &View, place: Path, restrictions: Restrictions) -> Result<Path> {
    Errno::EXDEV.when(restrictions.contains(Restrictions::BENEATH) && place.is_same(view.start()))?;
    let above = place.parent(view.root());
    check_mount(view, &above, restrictions)?;
    Ok(above)
}

/// EXDEV if a walk must not leave its mount and `to` lies in another.
#[inline]
fn check_mount(view: &View, to: &Path, restrictions: Restrictions) -> Result {
    let leaves = restrictions.contains(Restrictions::NO_OTHER_MOUNT) && !Arc::ptr_eq(&to.mount, &view.start().mount);
    Errno::EXDEV.when(leaves)
}

impl Path {
    /// Finds the entry `name` of this directory, and what is mounted there.
    pub(super) fn child(&self, name: Name<'_>) -> Result<Path> {
        Ok(Path { mount: self.mount.clone(), entry: self.entry.child(name)? }.descend())
    }
}

#[inline(always)]
fn count_slashes(text: &[u8]) -> usize {
    text.iter().take_while(|byte| **byte == b'/').count()
}
