//! The vDSO (vdso(7)): code for clock calls, and the page that it reads, mapped into every program.
//!
//! One file in memory holds both: page 0 is the clock page (its layout is in `asm/vdso/vdso.s`), the image follows.
//! The clock page's sequence number is odd while it is written.

use crate::errno::Result;
use crate::machine::memory::{Frame, PAGE_SIZE};
use crate::machine::sync::{Once, SpinLock};
use crate::machine::time::{tsc_scale, wall_offset_ns};
use crate::machine::user::shared_code;
use crate::rank::Rank;
use crate::vm::{AddressSpace, Label, MapRequest, Mapping, PageCache, Placement, Protection, Source};
use alloc::sync::Arc;

const PAGE: u64 = PAGE_SIZE as u64;

/// What every program maps.
struct Vdso {
    file: Arc<PageCache>,
    /// The clock page, and how often it was written.
    clock: SpinLock<(Frame, u32)>,
}

/// `None` where the TSC is not the clock, or there was no memory.
static VDSO: Once<Option<Vdso>> = Once::new();

/// Maps the vDSO; returns where its ELF header lies, `None` where there is no vDSO. ENOMEM.
pub(super) fn map(space: &AddressSpace) -> Result<Option<u64>> {
    let Some(vdso) = get() else { return Ok(None) };
    let code_length = vdso.file.size() - PAGE;
    let start = space.find_free(PAGE + code_length)?;
    let part = |label, protection, maximum, offset, length| MapRequest {
        placement: Placement::Fixed(start + offset),
        protection,
        maximum,
        mapping: Mapping::File { cache: vdso.file.clone(), offset, owner: None },
        label,
        ..MapRequest::anonymous(length)
    };
    space.map(part(Label::Vvar, Protection::READ, Protection::READ, 0, PAGE))?;
    let code = Protection::READ | Protection::EXECUTE;
    space.map(part(Label::Vdso, code, Protection::all(), PAGE, code_length))?;
    Ok(Some(start + PAGE))
}

/// Tells the programs that the wall clock was set.
pub(crate) fn update_clock() {
    if let Some(vdso) = get() {
        vdso.write_clock();
    }
}

fn get() -> Option<&'static Vdso> {
    VDSO.call_once(|| Vdso::new().ok()).as_ref().filter(|_| tsc_scale().is_some())
}

impl Vdso {
    fn new() -> Result<Vdso> {
        let file = PageCache::new(PAGE, None);
        file.write(PAGE, &mut Source::kernel(shared_code()))?;
        let clock = file.page(0)?.ok_or(crate::errno::Errno::ENOMEM)?;
        let vdso = Vdso { file, clock: SpinLock::new(Rank::Driver, (clock, 0)) };
        vdso.write_clock();
        Ok(vdso)
    }

    fn write_clock(&self) {
        let Some(scale) = tsc_scale() else { return };
        let mut clock = self.clock.lock();
        let (page, sequence) = &mut *clock;

        page.write(0, &sequence.wrapping_add(1).to_le_bytes());
        page.write(4, &scale.shift.to_le_bytes());
        page.write(8, &scale.base.to_le_bytes());
        page.write(16, &u64::from(scale.multiplier).to_le_bytes());
        page.write(24, &wall_offset_ns().to_le_bytes());
        *sequence = sequence.wrapping_add(2);
        page.write(0, &sequence.to_le_bytes());
    }
}
