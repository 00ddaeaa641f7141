/* ptrace(2): stops at system calls, registers, memory, single steps. */
#include "ptrace.h"
#include <fcntl.h>
#include <linux/ptrace.h>
#include <sys/prctl.h>

static volatile long variable = 41;

static void one_call(void)
{
    syscall(SYS_getppid);
    _exit(syscall(SYS_getpid) == 7777 ? 1 : 2);
}

static void test_call_stops(void)
{
    pid_t pid = traced_child(one_call);
    check("TracerPid is the tracer", status_number(pid, "TracerPid:") == getpid());
    check("a traced stop is t", state_of(pid) == 't');
    check("options", trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
    check_error("unknown options", trace(PTRACE_SETOPTIONS, pid, 0, 1 << 28), EINVAL);

    long number = -1;
    struct user_regs_struct registers;
    for (;;) {
        trace(PTRACE_SYSCALL, pid, 0, 0);
        if (wait_status(pid) != STOPPED(SIGTRAP | 0x80, 0)) {
            check("only call stops come", 0);
            return;
        }
        registers = registers_of(pid);
        number = registers.orig_rax;
        if (number == SYS_getppid)
            break;
    }
    check("rax is -ENOSYS at the entry", (long)registers.rax == -ENOSYS);
    struct __ptrace_syscall_info info = {0};
    check("entry info has its size", trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, (long)&info) == 80);
    check("entry info", info.op == 1 && info.entry.nr == SYS_getppid && info.arch == 0xc000003e);
    check("entry info has ip and sp", info.instruction_pointer == registers.rip && info.stack_pointer == registers.rsp);
    siginfo_t signal;
    check("siginfo of a call stop",
          trace(PTRACE_GETSIGINFO, pid, 0, (long)&signal) == 0 && signal.si_code == (SIGTRAP | 0x80));

    trace(PTRACE_SYSCALL, pid, 0, 0);
    check("the exit stops", stops(pid, SIGTRAP | 0x80, 0));
    check("the result shows", registers_of(pid).rax == (unsigned long)getpid());
    check("exit info has its size", trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, (long)&info) == 33);
    check("exit info", info.op == 2 && info.exit.rval == getpid() && !info.exit.is_error);

    /* The next call is replaced: no call is made, and its result is the tracer's. */
    trace(PTRACE_SYSCALL, pid, 0, 0);
    check("the next entry stops", stops(pid, SIGTRAP | 0x80, 0));
    registers = registers_of(pid);
    check("it is getpid", registers.orig_rax == SYS_getpid);
    check("a call can be skipped",
          trace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.orig_rax), -1) == 0);
    trace(PTRACE_SYSCALL, pid, 0, 0);
    check("a skipped call has an exit", stops(pid, SIGTRAP | 0x80, 0));
    registers = registers_of(pid);
    check("a skipped call shows ENOSYS", (long)registers.rax == -ENOSYS);
    registers.rax = 7777;
    check("SETREGS", trace(PTRACE_SETREGS, pid, 0, (long)&registers) == 0);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the child saw the changed result", exits(pid, 1));
    check_error("no tracee any more", trace(PTRACE_CONT, pid, 0, 0), ESRCH);
}

static void forever(void)
{
    for (;;)
        pause();
}

static void show_variable(void)
{
    _exit(variable);
}

static void test_memory(void)
{
    pid_t pid = traced_child(show_variable);
    unsigned long word = 0;
    check("PEEKDATA", trace(PTRACE_PEEKDATA, pid, (long)&variable, (long)&word) == 0 && word == 41);
    check("POKEDATA", trace(PTRACE_POKEDATA, pid, (long)&variable, 42) == 0);
    check("only the child's copy changes", variable == 41);
    check_error("PEEK at nothing", trace(PTRACE_PEEKDATA, pid, 8, (long)&word), EIO);
    check("POKE into code",
          trace(PTRACE_PEEKTEXT, pid, (long)forever, (long)&word) == 0 &&
              trace(PTRACE_POKETEXT, pid, (long)forever, word) == 0);
    check_error("PEEKUSER not aligned", trace(PTRACE_PEEKUSER, pid, 3, (long)&word), EIO);
    check_error("PEEKUSER beyond", trace(PTRACE_PEEKUSER, pid, 928, (long)&word), EIO);
    check("PEEKUSER",
          trace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), (long)&word) == 0 &&
              word == registers_of(pid).rip);

    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR);
    long value = 0;
    check("mem opens", fd >= 0);
    check("mem reads", pread(fd, &value, sizeof value, (long)&variable) == sizeof value && value == 42);
    value = 43;
    check("mem writes", pwrite(fd, &value, sizeof value, (long)&variable) == sizeof value);
    check("mem writes to code",
          pread(fd, &word, 8, (long)forever) == 8 && pwrite(fd, &word, 8, (long)forever) == 8);
    check_error("mem at nothing", pread(fd, &value, 8, 8), EIO);

    struct iovec here = {&value, 8}, there = {(void *)&variable, 8}, code = {(void *)forever, 8};
    check("process_vm_readv", process_vm_readv(pid, &here, 1, &there, 1, 0) == 8 && value == 43);
    check_error("process_vm_writev does not write code", process_vm_writev(pid, &here, 1, &code, 1, 0), EFAULT);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the child saw the changed memory", exits(pid, 43));
    check("mem of a dead process is empty", pread(fd, &value, 8, (long)&variable) == 0);
    close(fd);
}

static void count_steps(void)
{
    asm volatile("mov $1, %%r12\n mov $2, %%r12\n mov $3, %%r12\n int3\n" ::: "r12");
    _exit(0);
}

static void test_steps(void)
{
    pid_t pid = traced_child(count_steps);
    struct user_regs_struct registers;
    siginfo_t info;
    int stepped = 0, seen = 0;
    for (int i = 0; i < 5000; i++) {
        trace(PTRACE_SINGLESTEP, pid, 0, 0);
        if (wait_status(pid) != STOPPED(SIGTRAP, 0))
            break;
        registers = registers_of(pid);
        stepped += registers.eflags & 0x100 ? 1 : 0;
        if (registers.r12 == 1 || registers.r12 == 2) {
            seen |= registers.r12;
            trace(PTRACE_GETSIGINFO, pid, 0, (long)&info);
            if (info.si_code != TRAP_TRACE || info.si_addr != (void *)registers.rip)
                seen |= 64;
        }
        if (registers.r12 == 3)
            break;
    }
    check("each instruction is seen", seen == 3);
    check("the trap flag does not show", stepped == 0);
    trace(PTRACE_CONT, pid, 0, 0);
    check("int3 stops", stops(pid, SIGTRAP, 0));
    check("int3 is the kernel's", trace(PTRACE_GETSIGINFO, pid, 0, (long)&info) == 0 && info.si_code == SI_KERNEL);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the child ends", exits(pid, 0));
}

static void floats(void)
{
    double value = 1.5;
    asm volatile("movsd %0, %%xmm3\n int3\n movsd %%xmm3, %0\n" : "+m"(value)::"xmm3");
    _exit(value == 2.5 ? 0 : 1);
}

static void test_register_sets(void)
{
    pid_t pid = traced_child(floats);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the breakpoint stops", stops(pid, SIGTRAP, 0));
    struct user_fpregs_struct fp;
    double value;
    check("GETFPREGS", trace(PTRACE_GETFPREGS, pid, 0, (long)&fp) == 0);
    memcpy(&value, &fp.xmm_space[12], 8);
    check("xmm3 shows", value == 1.5);
    static char area[16384];
    struct iovec vector = {area, sizeof area};
    check("NT_X86_XSTATE", trace(PTRACE_GETREGSET, pid, 0x202, (long)&vector) == 0 && vector.iov_len >= 576);
    uint64_t xcr0;
    memcpy(&xcr0, area + 464, 8);
    check("XCR0 shows", (xcr0 & 3) == 3);
    check("the whole state goes back", trace(PTRACE_SETREGSET, pid, 0x202, (long)&vector) == 0);
    area[512 + 16] = 1;
    check_error("a state that the CPU refuses", trace(PTRACE_SETREGSET, pid, 0x202, (long)&vector), EINVAL);
    value = 2.5;
    memcpy(&fp.xmm_space[12], &value, 8);
    check("SETFPREGS", trace(PTRACE_SETFPREGS, pid, 0, (long)&fp) == 0);
    struct user_regs_struct registers, same = registers_of(pid);
    vector = (struct iovec){&registers, sizeof registers};
    check("NT_PRSTATUS", trace(PTRACE_GETREGSET, pid, 1, (long)&vector) == 0 && vector.iov_len == sizeof registers);
    check("both ways show the same", !memcmp(&registers, &same, sizeof same));
    check("selectors", registers.cs == 0x33 && registers.ss == 0x2b);
    vector.iov_len = 16;
    check("a short set is cut", trace(PTRACE_GETREGSET, pid, 1, (long)&vector) == 0 && vector.iov_len == 16);
    check_error("no such set", trace(PTRACE_GETREGSET, pid, 0x7777, (long)&vector), EINVAL);
    registers.fs_base = 1UL << 63;
    check_error("no such segment base", trace(PTRACE_SETREGS, pid, 0, (long)&registers), EIO);
    registers = same;
    registers.cs = 0x10;
    check_error("no kernel selector", trace(PTRACE_SETREGS, pid, 0, (long)&registers), EIO);
    registers = same;
    registers.eflags |= 0x3000 | 1 << 17;
    check("SETREGS with odd flags", trace(PTRACE_SETREGS, pid, 0, (long)&registers) == 0);
    check("privileged flags stay", registers_of(pid).eflags == same.eflags);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the child saw the changed register", exits(pid, 0));
}

static void writes_variable(void)
{
    int pair[2];
    long value = 9;
    variable = 7;
    pipe(pair);
    write(pair[1], &value, sizeof value);
    read(pair[0], (void *)&variable, sizeof variable);
    _exit(variable);
}

#define DEBUG_REGISTER(n) (offsetof(struct user, u_debugreg) + 8 * (n))

static void test_watchpoints(void)
{
    pid_t pid = traced_child(writes_variable);
    check("a watched address", trace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(0), (long)&variable) == 0);
    check("a watchpoint for stores", trace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(7), 0x90001) == 0);
    unsigned long word = 0;
    check("shows", trace(PTRACE_PEEKUSER, pid, DEBUG_REGISTER(0), (long)&word) == 0 && word == (unsigned long)&variable);
    check("no kernel address", trace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(1), 0xffffffff81000000) == -1);
    check("no register 4", trace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(4), 0) == -1);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the store stops", stops(pid, SIGTRAP, 0));
    siginfo_t info;
    check("TRAP_HWBKPT", trace(PTRACE_GETSIGINFO, pid, 0, (long)&info) == 0 && info.si_code == TRAP_HWBKPT);
    check("the status says which", trace(PTRACE_PEEKUSER, pid, DEBUG_REGISTER(6), (long)&word) == 0 && (word & 15) == 1);
    check("after the store",
          trace(PTRACE_PEEKDATA, pid, (long)&variable, (long)&word) == 0 && word == 7);
    /* The kernel's own store, by read(2), may stop or not. */
    trace(PTRACE_CONT, pid, 0, 0);
    int status = wait_status(pid);
    while (status == STOPPED(SIGTRAP, 0)) {
        trace(PTRACE_CONT, pid, 0, 0);
        status = wait_status(pid);
    }
    check("and it goes on", status == 9 << 8);
    check("the tracer is not watched", (variable = 41) == 41);

    pid = traced_child(show_variable);
    trace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(0), (long)show_variable);
    check("a breakpoint in a register", trace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(7), 1) == 0);
    trace(PTRACE_CONT, pid, 0, 0);
    check("stops before the instruction", stops(pid, SIGTRAP, 0) && registers_of(pid).rip == (unsigned long)show_variable);
    trace(PTRACE_CONT, pid, 0, 0);
    check("once", exits(pid, 41));
}

static void test_bad_instruction_pointer(void)
{
    pid_t pid = traced_child(forever);
    struct user_regs_struct registers = registers_of(pid);
    registers.rip = 0x8000000000000000;
    check("a pointer that is none is taken", trace(PTRACE_SETREGS, pid, 0, (long)&registers) == 0);
    trace(PTRACE_CONT, pid, 0, 0);
    check("and faults", stops(pid, SIGSEGV, 0));
    kill_and_reap(pid);
}

static void test_masks(void)
{
    pid_t pid = traced_child(forever);
    uint64_t mask = 0, all = ~0UL;
    check("GETSIGMASK", trace(PTRACE_GETSIGMASK, pid, 8, (long)&mask) == 0 && mask == 0);
    check_error("GETSIGMASK with another size", trace(PTRACE_GETSIGMASK, pid, 4, (long)&mask), EINVAL);
    check("SETSIGMASK", trace(PTRACE_SETSIGMASK, pid, 8, (long)&all) == 0);
    trace(PTRACE_GETSIGMASK, pid, 8, (long)&mask);
    check("KILL and STOP stay", mask == ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1)));
    check_error("no such request", trace(0x5555, pid, 0, 0), EIO);
    check_error("no such signal", trace(PTRACE_CONT, pid, 0, 99), EIO);
    check("KILL", trace(PTRACE_KILL, pid, 0, 0) == 0);
    check("it dies", wait_status(pid) == SIGKILL);
    check_error("nobody", trace(PTRACE_ATTACH, 0x7ffffff0, 0, 0), ESRCH);
    check_error("not oneself", trace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
    check_error("a stranger is not traced", trace(PTRACE_CONT, getppid(), 0, 0), ESRCH);
}

int main(void)
{
    test_call_stops();
    test_memory();
    test_steps();
    test_register_sets();
    test_watchpoints();
    test_bad_instruction_pointer();
    test_masks();
    return finish();
}
