//! Registers become typed arguments: each argument type says how it is made from a register.

use super::context::Ctx;
use crate::errno::{Errno, Result};
use crate::vm::UserPtr;

/// A type that a system call takes as an argument.
pub(crate) trait Argument<'c>: Sized {
    /// Makes the argument from its register.
    fn from_register(ctx: &'c Ctx<'_>, value: u64) -> Self;
}

/// A file descriptor as passed: 32 bits, sign matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fd(pub(crate) i32);

/// A user string: a path, a name.
pub(crate) type UserStr<'c> = UserPtr<'c, u8>;

/// The path of a file; a link at its end is followed.
pub(crate) struct Followed<'c>(pub(super) UserStr<'c>);

/// The path of a file, which may be a link.
pub(crate) struct NotFollowed<'c>(pub(super) UserStr<'c>);

impl<'c> Argument<'c> for Followed<'c> {
    fn from_register(ctx: &'c Ctx<'_>, value: u64) -> Self {
        Followed(UserPtr::new(ctx.space(), value))
    }
}

impl<'c> Argument<'c> for NotFollowed<'c> {
    fn from_register(ctx: &'c Ctx<'_>, value: u64) -> Self {
        NotFollowed(UserPtr::new(ctx.space(), value))
    }
}

impl<'c> Argument<'c> for Fd {
    fn from_register(_: &'c Ctx<'_>, value: u64) -> Self {
        Fd(value as i32)
    }
}

macro_rules! integer_arguments {
    ($($type:ty)*) => {
        $(impl<'c> Argument<'c> for $type {
            fn from_register(_: &'c Ctx<'_>, value: u64) -> Self {
                value as $type
            }
        })*
    };
}

integer_arguments!(i32 u32 i64 u64 usize);

impl<'c, T> Argument<'c> for UserPtr<'c, T> {
    fn from_register(ctx: &'c Ctx<'_>, value: u64) -> Self {
        UserPtr::new(ctx.space(), value)
    }
}

/// A function that serves a system call; `Arguments` is the tuple of its argument types.
pub(crate) trait Handler<'c, Arguments> {
    /// Converts the registers and calls the function; returns what `rax` will hold.
    fn serve(&self, ctx: &'c Ctx<'_>) -> u64;
}

macro_rules! handlers {
    ($($argument:ident $index:tt),*) => {
        impl<'c, F, $($argument: Argument<'c>),*> Handler<'c, ($($argument,)*)> for F
        where
            F: Fn(&'c Ctx<'_>, $($argument),*) -> Result<usize>,
        {
            // Each is a function of its own, so that finding it is a jump.
            #[inline(never)]
            fn serve(&self, ctx: &'c Ctx<'_>) -> u64 {
                let result = self(ctx, $($argument::from_register(ctx, ctx.argument($index))),*);
                result.map_or_else(Errno::in_rax, |value| value as u64)
            }
        }
    };
}

handlers!();
handlers!(A 0);
handlers!(A 0, B 1);
handlers!(A 0, B 1, C 2);
handlers!(A 0, B 1, C 2, D 3);
handlers!(A 0, B 1, C 2, D 3, E 4);
handlers!(A 0, B 1, C 2, D 3, E 4, G 5);
