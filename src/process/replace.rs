//! The change to a new program (execve(2)) once it is loaded: from here on nothing fails.

use super::exec::SetId;
use super::exit::{self, release_memory};
use super::{AlternateStack, Program, Signal, Thread, table, trace};
use crate::errno::{Errno, Result};
use crate::file::FdTable;
use crate::fs::{Capabilities, Identity};
use crate::machine::task;
use crate::machine::user::UserMode;
use crate::vm::AddressSpace;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// Replaces the calling process' program: ends its other threads, takes over the new memory and resets what exec
/// resets. Returns the new address space, which is loaded already. EAGAIN if another thread is doing the same or the
/// process is ending: the caller is about to end anyway.
pub(crate) fn replace_program(
    thread: &Arc<Thread>, old_space: &AddressSpace, user: &mut UserMode, program: Program,
) -> Result<Arc<AddressSpace>> {
    let process = thread.process();
    end_other_threads(thread)?;
    // The other threads are gone: there is no way back from here.
    let files = own_files(thread).inspect_err(|_| exit::end_process(process, Signal::KILL.number()))?;

    process.note_peak(old_space);
    release_memory(thread, old_space);
    // Before anybody can find the new space: who may reach into it is judged by the new identity. Under the table's
    // lock, as is attaching: either the tracer is seen here, or it is judged by the new identity too.
    table::with(|_| take_over_identity(thread, &program));
    let space = program.space.clone();
    space.refuse_large_pages(old_space.refuses_large_pages());
    task::set_page_table(Some(space.page_table().clone()));
    let old = {
        let mut state = process.state.lock();
        let dispositions = state.dispositions.after_exec();
        (
            state.space.replace(space.clone()),
            state.program.replace(program.information),
            core::mem::replace(&mut state.dispositions, dispositions),
        )
    };
    drop(old);

    files.close_on_exec();
    process.timers().clear_created();
    thread.set_files(files);
    thread.set_name(&program.command);
    thread.set_alternate_stack(AlternateStack::default());
    thread.set_restart(None);
    *thread.rseq.lock() = None;
    user.watch_cpu(false);
    process.barriers().store(0, Ordering::Relaxed);
    process.has_executed.store(true, Ordering::Relaxed);

    *user.registers = Default::default();
    user.registers.rip = program.entry;
    user.registers.rsp = program.stack_pointer;
    user.reset_extended_state();
    Ok(space)
}

/// Ends all other threads and waits until they have gone; the caller takes over the process' id if it is not the
/// first thread.
fn end_other_threads(thread: &Arc<Thread>) -> Result {
    let process = thread.process();
    {
        let mut state = process.state.lock();
        Errno::EAGAIN.when(state.ending.is_some() || state.executor.is_some())?;
        if state.threads.len() == 1 && thread.id() == process.id() {
            return Ok(());
        }
        state.executor = Some(thread.id());
        for other in state.threads.iter().filter(|other| !Arc::ptr_eq(other, thread)) {
            other.set_attention(true);
        }
        process.resume.wake_all();
    }
    let is_alone = process.resume.wait_until(|| {
        let state = process.state.lock();
        (state.threads.len() == 1 || state.ending.is_some()).then(|| state.ending.is_none())
    });
    process.state.lock().executor = None;
    Errno::EAGAIN.when(!is_alone)?;
    let (first, charge) = table::with(|table| {
        // A tracer does not hear of the end of the first thread, in whose place the caller comes (ptrace(2)).
        let tracer = table.nodes.get(&process.id()).and_then(|node| node.tracer);
        let tracees = tracer.and_then(|tracer| table.nodes.get_mut(&tracer)).map(|node| &mut node.tracees);
        let first = tracees.and_then(|tracees| {
            let place = tracees.iter().position(|tracee| {
                tracee.is_first() && !Arc::ptr_eq(tracee, thread) && tracee.process().id() == process.id()
            })?;
            Some(tracees.remove(place))
        });
        table.remove_thread(thread.id());
        thread.id.store(process.id(), Ordering::Relaxed);
        table.add_thread(thread);
        let tracer = thread.tracer().map(|tracer| tracer.id());
        table.set_tracer(thread, tracer);
        // The first thread counts no more, as the caller does in its place.
        (first, table.nodes.get_mut(&process.id()).and_then(|node| node.charge.take()))
    });
    drop((first, charge));
    Ok(())
}

/// SECBIT_NOROOT and SECBIT_KEEP_CAPS (capabilities(7)).
const NO_ROOT: u32 = 1 << 0;
const KEEP_CAPABILITIES: u32 = 1 << 4;

/// Returns what set-user-ID bits do for `thread` now.
pub(crate) fn set_id_for(thread: &Thread) -> SetId {
    match (thread.attributes().no_new_privileges, trace::allows_new_identity(thread)) {
        (true, _) => SetId::Ignored,
        (false, true) => SetId::Count,
        (false, false) => SetId::Watched,
    }
}

/// Set-user-ID and set-group-ID programs; the capabilities that follow from the ids (capabilities(7),
/// "Transformation of capabilities during execve()", for files without capabilities of their own).
fn take_over_identity(thread: &Arc<Thread>, program: &Program) {
    let mut identity = Identity::clone(&thread.identity());
    let is_allowed = set_id_for(thread) == SetId::Count;
    let old = (identity.euid, identity.egid);
    if let Some(uid) = program.set_uid.filter(|_| is_allowed) {
        identity.euid = uid;
    }
    if let Some(gid) = program.set_gid.filter(|_| is_allowed) {
        identity.egid = gid;
    }
    let is_changed = old != (identity.euid, identity.egid);
    (identity.suid, identity.fsuid) = (identity.euid, identity.euid);
    (identity.sgid, identity.fsgid) = (identity.egid, identity.egid);

    if is_changed {
        identity.ambient = Capabilities::empty();
    }
    let bits = thread.attributes().secure_bits;
    let counts = bits & NO_ROOT == 0;
    let is_root = counts && (identity.euid == 0 || identity.uid == 0);
    identity.permitted = if is_root { identity.inheritable | identity.bounding } else { identity.ambient };
    identity.effective = if counts && identity.euid == 0 { identity.permitted } else { identity.ambient };
    thread.change_attributes(|own| own.secure_bits = bits & !KEEP_CAPABILITIES);
    let is_own = identity.euid == identity.uid && identity.egid == identity.gid;
    thread.set_identity(identity);

    if is_changed {
        thread.change_attributes(|own| own.parent_death_signal = 0);
    }
    thread.process().set_dumpable(u32::from(!is_changed && is_own && program.is_readable));
}

/// Returns the thread's descriptor table, or a copy if others use it too: exec ends the sharing (execve(2)). ENOMEM.
fn own_files(thread: &Thread) -> Result<Arc<FdTable>> {
    // The thread's own reference, its loop's, and this one.
    const OWN_REFERENCES: usize = 3;
    let files = thread.files();
    if Arc::strong_count(&files) > OWN_REFERENCES { files.duplicate() } else { Ok(files) }
}
