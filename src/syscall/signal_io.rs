//! The part of fcntl(2) about signals for readiness: F_SETOWN, F_SETSIG and relatives.

use super::context::Ctx;
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::file::signal_io::Recipient;
use crate::process::{Signal, table};
use crate::vm::UserPtr;
use linux_raw_sys::general::{F_GETOWN, F_GETOWN_EX, F_GETSIG, F_SETOWN, F_SETOWN_EX};

/// Serves one of the commands above.
pub(super) fn control(ctx: &Ctx<'_>, file: &OpenFile, command: u32, argument: u64) -> Result<usize> {
    let target = file.signal_target();
    let structure = UserPtr::<[i32; 2]>::new(ctx.space(), argument);
    match command {
        F_SETOWN => {
            let id = argument as i32;
            let recipient =
                if id < 0 { Recipient::Group(id.checked_neg().ok_or(Errno::EINVAL)?) } else { Recipient::Process(id) };
            set_recipient(ctx, file, recipient).map(|()| 0)
        }
        F_SETOWN_EX => {
            let [kind, id] = structure.read()?;
            let recipient = match kind {
                0 => Recipient::Thread(id),
                1 => Recipient::Process(id),
                2 => Recipient::Group(id),
                _ => return Err(Errno::EINVAL),
            };
            set_recipient(ctx, file, recipient).map(|()| 0)
        }
        F_GETOWN => Ok(match target.recipient {
            Recipient::Nobody => 0,
            Recipient::Thread(id) | Recipient::Process(id) => id as usize,
            Recipient::Group(id) => -(id as isize) as usize,
        }),
        F_GETOWN_EX => {
            let described = match target.recipient {
                Recipient::Thread(id) => [0, id],
                Recipient::Nobody => [1, 0],
                Recipient::Process(id) => [1, id],
                Recipient::Group(id) => [2, id],
            };
            structure.write(&described).map(|()| 0)
        }
        F_GETSIG => Ok(target.signal as usize),
        _ => {
            let signal = i32::try_from(argument).map_err(|_| Errno::EINVAL)?;
            Errno::EINVAL.when(signal != 0 && Signal::from_number(signal).is_none())?;
            file.set_signal_target(|target| target.signal = signal);
            Ok(0)
        }
    }
}

/// ESRCH where there is no such process, thread or group; 0 is nobody.
fn set_recipient(ctx: &Ctx<'_>, file: &OpenFile, recipient: Recipient) -> Result {
    let (is_there, recipient) = match recipient {
        Recipient::Nobody | Recipient::Thread(0) | Recipient::Process(0) | Recipient::Group(0) => {
            (true, Recipient::Nobody)
        }
        Recipient::Thread(id) => (table::find_thread(id).is_some(), recipient),
        Recipient::Process(id) => (table::find(id).is_some(), recipient),
        Recipient::Group(id) => (!table::group_members(id).is_empty(), recipient),
    };
    Errno::ESRCH.when(!is_there)?;
    let identity = ctx.identity();
    file.set_signal_target(|target| {
        (target.recipient, target.uid, target.euid) = (recipient, identity.uid, identity.euid);
    });
    Ok(())
}
