/* Process groups, sessions, orphaned groups, terminals lost. */
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static pid_t waiting_child(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static void finish_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void groups(void)
{
    pid_t pid = waiting_child();
    check("a child is in our group", getpgid(pid) == getpgrp());
    check("setpgid of a child", setpgid(pid, 0) == 0 && getpgid(pid) == pid);
    check("back to ours", setpgid(pid, getpgrp()) == 0 && getpgid(pid) == getpgrp());
    check_error("a group that is not there", setpgid(pid, 29999), EPERM);
    check_error("a negative group", setpgid(pid, -3), EINVAL);
    check_error("no such child", setpgid(29999, 0), ESRCH);
    check_error("getpgid: nobody", getpgid(29999), ESRCH);
    finish_child(pid);

    pid_t first = waiting_child(), second = waiting_child();
    setpgid(first, first);
    setpgid(second, first);
    check("killpg", killpg(first, SIGTERM) == 0);
    int status, good = 0;
    good += waitpid(-first, &status, 0) > 0 && WTERMSIG(status) == SIGTERM;
    good += waitpid(-first, &status, 0) > 0 && WTERMSIG(status) == SIGTERM;
    check("both died", good == 2);
    check_error("the group is gone", killpg(first, 0), ESRCH);
}

static void after_exec(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "jobs", "sleep", NULL);
        _exit(1);
    }
    char byte;
    read(ends[0], &byte, 1);
    check_error("not after exec", setpgid(pid, pid), EACCES);
    finish_child(pid);
}

static void sessions(void)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        int good = setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid();
        good &= setsid() == -1 && errno == EPERM;
        good &= setpgid(0, 0) == -1 && errno == EPERM;
        good &= open("/dev/tty", O_RDWR) == -1 && errno == ENXIO;
        _exit(good ? 0 : 1);
    }
    check("setsid", waitpid(pid, &status, 0) == pid && status == 0);
    pid = waiting_child();
    check("getsid of a child", getsid(pid) == getsid(0));
    setpgid(pid, pid);
    finish_child(pid);
    pid = fork();
    if (pid == 0) {
        pid_t leader = getppid();
        setsid();
        _exit(setpgid(0, leader) == -1 && errno == EPERM ? 0 : 1);
    }
    check("a leader stays", waitpid(pid, &status, 0) == pid && status == 0);
}

static volatile sig_atomic_t got_hup, got_cont;

static void note(int number)
{
    if (number == SIGHUP)
        got_hup++;
    else
        got_cont++;
}

/* A stopped group whose last link to its session ends gets SIGHUP and SIGCONT. */
static void orphaned(void)
{
    pid_t middle = fork();
    if (middle == 0) {
        setsid();
        pid_t leaf = fork();
        if (leaf == 0) {
            setpgid(0, 0);
            signal(SIGHUP, note);
            signal(SIGCONT, note);
            raise(SIGSTOP);
            while (!got_hup || !got_cont)
                usleep(1000);
            char byte = 'o';
            write(ends[1], &byte, 1);
            _exit(0);
        }
        int status;
        waitpid(leaf, &status, WUNTRACED);
        _exit(WIFSTOPPED(status) ? 0 : 1);
    }
    int status;
    char byte = 0;
    check("the leaf stops", waitpid(middle, &status, 0) == middle && status == 0);
    check("an orphaned stopped group is hung up and continued", read(ends[0], &byte, 1) == 1 && byte == 'o');

    /* In an orphaned group SIGTSTP does nothing, SIGSTOP stops. */
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        raise(SIGTSTP);
        raise(SIGTTIN);
        raise(SIGTTOU);
        _exit(5);
    }
    check("SIGTSTP is ignored in an orphaned group", waitpid(pid, &status, WUNTRACED) == pid && WIFEXITED(status)
          && WEXITSTATUS(status) == 5);
}

static void continued(void)
{
    int status;
    signal(SIGCONT, note);
    got_cont = 0;
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGCONT);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        raise(SIGSTOP);
        int before = got_cont;
        sigprocmask(SIG_UNBLOCK, &mask, NULL);
        _exit(before == 0 && got_cont == 1 ? 0 : 1);
    }
    waitpid(pid, &status, WUNTRACED);
    kill(pid, SIGCONT);
    check("SIGCONT continues though blocked, and is handled later", waitpid(pid, &status, 0) == pid && status == 0);

    pid = fork();
    if (pid == 0) {
        sigset_t mask, pending;
        sigfillset(&mask);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        raise(SIGTSTP);
        raise(SIGCONT);
        sigpending(&pending);
        int good = !sigismember(&pending, SIGTSTP) && sigismember(&pending, SIGCONT);
        raise(SIGTSTP);
        sigpending(&pending);
        good &= sigismember(&pending, SIGTSTP) && !sigismember(&pending, SIGCONT);
        _exit(good ? 0 : 1);
    }
    check("stop and continue cancel each other", waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "sleep") == 0) {
        char byte = 's';
        write(atoi(getenv("OUT")), &byte, 1);
        for (;;)
            pause();
    }
    if (pipe(ends))
        return 1;
    char number[16];
    snprintf(number, sizeof number, "%d", ends[1]);
    setenv("OUT", number, 1);
    setsid(); /* may fail where we lead a group already: fine */
    groups();
    after_exec();
    sessions();
    orphaned();
    continued();
    return finish();
}
