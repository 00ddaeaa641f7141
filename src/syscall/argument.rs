//! Registers become typed arguments: each argument type says how it is made from the registers that are next.

use super::context::Ctx;
use crate::errno::{Errno, Result};
use crate::vm::UserPtr;

/// A type that a system call takes as an argument.
pub(crate) trait Argument<'c>: Sized {
    /// Makes the argument from the next register or registers.
    fn take(registers: &mut Registers<'c, '_>) -> Self;
}

/// The registers of a call, taken one after the other.
pub(crate) struct Registers<'c, 'a> {
    ctx: &'c Ctx<'a>,
    form: Form,
    next: usize,
}

/// The calls that name files have come in up to three forms; one function serves them all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the function has its arguments.
    Full,
    /// Without `AtFlags` (faccessat, renameat).
    Flagless,
    /// Without directory descriptors, too: names are relative to the working directory (open, rename).
    Old,
}

impl Registers<'_, '_> {
    #[inline(always)]
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.ctx.argument(self.next - 1)
    }
}

/// A file descriptor as passed: 32 bits, sign matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fd(pub(crate) i32);

impl Fd {
    /// "Relative to the working directory" in place of a directory's descriptor (openat(2), AT_FDCWD).
    pub(crate) const CURRENT: Fd = Fd(-100);
}

/// A user string: a path, a name.
pub(crate) type UserStr<'c> = UserPtr<'c, u8>;

/// The name of a file and the descriptor of the directory that it is relative to.
#[derive(Clone, Copy)]
pub(crate) struct At<'c> {
    pub(super) directory: Fd,
    pub(super) name: UserStr<'c>,
}

impl<'c> At<'c> {
    /// Returns `name` relative to the working directory.
    pub(super) fn here(name: UserStr<'c>) -> At<'c> {
        At { directory: Fd::CURRENT, name }
    }
}

/// The AT_* flags of a call; none in its older forms.
#[derive(Clone, Copy)]
pub(crate) struct AtFlags(pub(super) u32);

/// The name of a file that may be a link itself.
pub(crate) struct NotFollowed<'c>(pub(super) At<'c>);

impl<'c> Argument<'c> for Fd {
    #[inline(always)]
    fn take(registers: &mut Registers<'c, '_>) -> Self {
        Fd(registers.next() as i32)
    }
}

impl<'c> Argument<'c> for At<'c> {
    #[inline(always)]
    fn take(registers: &mut Registers<'c, '_>) -> Self {
        let directory = if registers.form == Form::Old { Fd::CURRENT } else { Fd::take(registers) };
        At { directory, name: UserPtr::take(registers) }
    }
}

impl<'c> Argument<'c> for AtFlags {
    #[inline(always)]
    fn take(registers: &mut Registers<'c, '_>) -> Self {
        AtFlags(if registers.form == Form::Full { u32::take(registers) } else { 0 })
    }
}

impl<'c> Argument<'c> for NotFollowed<'c> {
    #[inline(always)]
    fn take(registers: &mut Registers<'c, '_>) -> Self {
        NotFollowed(At::take(registers))
    }
}

macro_rules! integer_arguments {
    ($($type:ty)*) => {
        $(impl<'c> Argument<'c> for $type {
            #[inline(always)]
            fn take(registers: &mut Registers<'c, '_>) -> Self {
                registers.next() as $type
            }
        })*
    };
}

integer_arguments!(i32 u32 i64 u64 usize);

impl<'c, T> Argument<'c> for UserPtr<'c, T> {
    #[inline(always)]
    fn take(registers: &mut Registers<'c, '_>) -> Self {
        UserPtr::new(registers.ctx.space(), registers.next())
    }
}

/// What a system call answers where it does not fail.
pub(crate) trait Answer {
    /// Returns it as `rax` shows it.
    fn in_rax(self) -> u64;
}

impl Answer for () {
    fn in_rax(self) -> u64 {
        0
    }
}

macro_rules! integer_answers {
    ($($type:ty)*) => {
        $(impl Answer for $type {
            fn in_rax(self) -> u64 {
                self as u64
            }
        })*
    };
}

integer_answers!(i32 u32 u64 usize);

/// A function that serves a system call; `Arguments` is the tuple of its argument types.
pub(crate) trait Handler<'c, Arguments> {
    /// Converts the registers and calls the function; returns what `rax` will hold.
    fn call(&self, registers: &mut Registers<'c, '_>) -> u64;

    /// Serves the call. As a function of its own for each, so that finding it is a jump; so are the older forms.
    #[inline(never)]
    fn serve(&self, ctx: &'c Ctx<'_>) -> u64 {
        self.call(&mut Registers { ctx, form: Form::Full, next: 0 })
    }

    /// Serves the form of the call that has no flags.
    #[inline(never)]
    fn serve_flagless(&self, ctx: &'c Ctx<'_>) -> u64 {
        self.call(&mut Registers { ctx, form: Form::Flagless, next: 0 })
    }

    /// Serves the form of the call that has neither flags nor directory descriptors.
    #[inline(never)]
    fn serve_old(&self, ctx: &'c Ctx<'_>) -> u64 {
        self.call(&mut Registers { ctx, form: Form::Old, next: 0 })
    }
}

macro_rules! handlers {
    ($($argument:ident),*) => {
        impl<'c, F, R: Answer, $($argument: Argument<'c>),*> Handler<'c, ($($argument,)*)> for F
        where
            F: Fn(&'c Ctx<'_>, $($argument),*) -> Result<R>,
        {
            #[inline(always)]
            fn call(&self, registers: &mut Registers<'c, '_>) -> u64 {
                let result = self(registers.ctx, $($argument::take(registers)),*);
                result.map_or_else(Errno::in_rax, Answer::in_rax)
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A, B);
handlers!(A, B, C);
handlers!(A, B, C, D);
handlers!(A, B, C, D, E);
handlers!(A, B, C, D, E, G);
