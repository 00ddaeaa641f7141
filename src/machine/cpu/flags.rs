//! The CPU's feature flags by the names under which Linux programs look for them (/proc/cpuinfo).

use super::features::read_leaf;
use alloc::vec::Vec;

/// Leaf 1, EDX, from bit 0; an empty name is a reserved bit.
const LEAF_1_EDX: &str = "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx \
                          fxsr sse sse2 ss ht tm ia64 pbe";
/// Leaf 1, ECX.
const LEAF_1_ECX: &str = "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca \
                          sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor";
/// Leaf 7, EBX.
const LEAF_7_EBX: &str = "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq \
                          rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl";
/// Leaf 0x8000_0001, EDX; the bits that repeat leaf 1 are left out.
const EXTENDED_EDX: &str = "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext \
                            3dnow";
/// Leaf 0x8000_0001, ECX.
const EXTENDED_ECX: &str =
    "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt";

/// Returns the names of the flags that the CPU has.
pub(crate) fn flags() -> Vec<&'static str> {
    let leaf = |number| read_leaf(number, 0).map_or([0; 4], |leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]);
    let [_, _, ecx, edx] = leaf(1);
    let [_, _, extended_ecx, extended_edx] = leaf(0x8000_0001);
    let mut found = Vec::new();
    for (names, bits) in [
        (LEAF_1_EDX, edx),
        (EXTENDED_EDX, extended_edx),
        (LEAF_1_ECX, ecx),
        (EXTENDED_ECX, extended_ecx),
        (LEAF_7_EBX, leaf(7)[1]),
    ] {
        let names = names.split_ascii_whitespace().enumerate();
        found.extend(names.filter(|(bit, name)| bits >> bit & 1 == 1 && *name != "-").map(|(_, name)| name));
    }
    found
}
