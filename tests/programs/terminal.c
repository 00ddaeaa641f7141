/* Terminals, through a pseudo-terminal: line editing, echo, raw reads, flow control, signals, job control, hang-up. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

static int controller, terminal;

static void open_pair(void)
{
    int unlock = 0;
    controller = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    ioctl(controller, TIOCSPTLCK, &unlock);
    terminal = ioctl(controller, TIOCGPTPEER, O_RDWR | O_NOCTTY);
}

static void close_pair(void)
{
    close(terminal);
    close(controller);
}

/* Types `text`, and leaves Linux the time to pass it on: its pseudo-terminals do that in a work queue. */
static void type(const char *text)
{
    write(controller, text, strlen(text));
    usleep(10000);
}

/* What the terminal shows within a tenth of a second. */
static const char *shown(void)
{
    static char text[20000];
    size_t length = 0;
    struct pollfd poll_controller = { controller, POLLIN, 0 };
    while (length < sizeof text - 1 && poll(&poll_controller, 1, 100) == 1 && poll_controller.revents & POLLIN) {
        ssize_t count = read(controller, text + length, sizeof text - 1 - length);
        if (count <= 0)
            break;
        length += count;
    }
    text[length] = 0;
    return text;
}

static int shows(const char *expected)
{
    const char *text = shown();
    if (strcmp(text, expected)) {
        printf("shown:");
        for (; *text; text++)
            printf(*text >= ' ' && *text < 127 ? " %c" : " %02x", (unsigned char)*text);
        printf("\n");
        return 0;
    }
    return 1;
}

/* Whether a read of at most `limit` bytes gives exactly `expected`. */
static int reads_limited(size_t limit, const char *expected)
{
    char text[8192];
    ssize_t count = read(terminal, text, limit);
    if (count != (ssize_t)strlen(expected) || memcmp(text, expected, count)) {
        printf("read %zd: %.*s\n", count, (int)(count > 0 ? count : 0), text);
        return 0;
    }
    return 1;
}

static int reads(const char *expected)
{
    return reads_limited(sizeof(char[8192]), expected);
}

static struct termios settings(void)
{
    struct termios now;
    tcgetattr(terminal, &now);
    return now;
}

static void set_local(tcflag_t on, tcflag_t off)
{
    struct termios now = settings();
    now.c_lflag = (now.c_lflag | on) & ~off;
    tcsetattr(terminal, TCSANOW, &now);
}

static void set_input(tcflag_t on, tcflag_t off)
{
    struct termios now = settings();
    now.c_iflag = (now.c_iflag | on) & ~off;
    tcsetattr(terminal, TCSANOW, &now);
}

static void set_output(tcflag_t on, tcflag_t off)
{
    struct termios now = settings();
    now.c_oflag = (now.c_oflag | on) & ~off;
    tcsetattr(terminal, TCSANOW, &now);
}

static void set_raw(int minimum, int tenths)
{
    struct termios now = settings();
    now.c_lflag &= ~(ICANON | ECHO);
    now.c_cc[VMIN] = minimum;
    now.c_cc[VTIME] = tenths;
    tcsetattr(terminal, TCSANOW, &now);
}

static long elapsed_ms(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void initial(void)
{
    open_pair();
    struct termios now = settings();
    check("input flags", now.c_iflag == (ICRNL | IXON));
    check("output flags", now.c_oflag == (OPOST | ONLCR));
    check("control flags", now.c_cflag == (B38400 | CS8 | CREAD));
    check("local flags", now.c_lflag == (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN));
    check("control characters", !memcmp(now.c_cc, "\3\34\177\25\4\0\1\0\21\23\32\0\22\17\27\26\0", 17));
    struct winsize size;
    check("window 0x0", ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_row == 0 && size.ws_col == 0);
    check("isatty of both", isatty(terminal) && isatty(controller));
    int number;
    char name[32];
    check("TIOCGPTN", ioctl(controller, TIOCGPTN, &number) == 0);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    check("ttyname", ttyname(terminal) && !strcmp(ttyname(terminal), name));
    check_error("TIOCGPTN of the terminal", ioctl(terminal, TIOCGPTN, &number), ENOTTY);
    check_error("unknown request", ioctl(terminal, 0x54ff, &number), ENOTTY);
    check_error("bad pointer", ioctl(terminal, TCGETS, 1), EFAULT);
    check_error("lseek", lseek(terminal, 0, SEEK_SET), ESPIPE);
    check_error("tcflush 3", tcflush(terminal, 3), EINVAL);
    check_error("tcflow 4", tcflow(terminal, 4), EINVAL);
    check_error("tcgetpgrp without control", tcgetpgrp(terminal), ENOTTY);
    close_pair();
}

static void editing(void)
{
    open_pair();
    type("abc\n");
    check("echo with CR LF", shows("abc\r\n"));
    check("a line", reads("abc\n"));
    type("ab\177c\r");
    check("erase shows", shows("ab\b \bc\r\n"));
    check("erased", reads("ac\n"));
    type("one two  \027x\n");
    check("word erase shows", shows("one two  \b \b\b \b\b \b\b \b\b \bx\r\n"));
    check("word erased", reads("one x\n"));
    type("abc\025d\n");
    check("kill shows", shows("abc\b \b\b \b\b \bd\r\n"));
    check("killed", reads("d\n"));
    type("a\026\003b\n");
    check("literal next shows", shows("a^\b^Cb\r\n"));
    check("literal next", reads("a\003b\n"));
    type("a\tb\177\177c\n");
    check("tab erase shows", shows("a\tb\b \b\b\b\b\b\b\b\bc\r\n"));
    check("tab erased", reads("ac\n"));
    type("\001\177x\n");
    check("control erase shows", shows("^A\b \b\b \bx\r\n"));
    check("control erased", reads("x\n"));
    type("ab\022c\n");
    check("reprint", shows("ab^R\r\nabc\r\n") && reads("abc\n"));
    type("\177\177ok\n");
    check("erase of nothing", shows("ok\r\n") && reads("ok\n"));

    set_input(IUTF8, 0);
    type("\303\244\177b\n");
    check("UTF-8 erase shows", shows("\303\244\b \bb\r\n"));
    check("UTF-8 erased", reads("b\n"));

    set_local(0, ECHOKE);
    type("abc\025d\n");
    check("kill without ECHOKE", shows("abc^U\r\nd\r\n") && reads("d\n"));
    set_local(ECHOPRT, 0);
    type("abc\177\177d\n");
    check("ECHOPRT", shows("abc\\cb/d\r\n") && reads("ad\n"));
    set_local(ECHONL, ECHO | ECHOPRT);
    type("pw\n");
    check("ECHONL", shows("\r\n") && reads("pw\n"));
    set_local(ECHO | ECHOKE, ECHONL | ECHOCTL);
    type("\001\n");
    check("without ECHOCTL", shows("\001\r\n") && reads("\001\n"));
    set_local(ECHOCTL, IEXTEN);
    type("a b\027\n");
    check("without IEXTEN", shows("a b^W\r\n") && reads("a b\027\n"));
    close_pair();
}

static void lines(void)
{
    open_pair();
    int count;
    type("one\ntwo\n");
    check("FIONREAD in lines", ioctl(terminal, FIONREAD, &count) == 0 && count == 8);
    check("a read is one line", reads("one\n") && reads("two\n"));
    type("abcdef\n");
    check("the rest of a line stays", reads_limited(4, "abcd") && reads("ef\n"));
    type("ab\004");
    check("EOF ends a line", reads("ab"));
    type("\004");
    check("EOF alone", reads(""));
    type("abcd\004xy\n");
    check("EOF at the buffer's end", reads_limited(4, "abcd") && reads("xy\n"));
    type("half");
    check("half a line is not readable", ioctl(terminal, FIONREAD, &count) == 0 && count == 0);
    fcntl(terminal, F_SETFL, O_RDWR | O_NONBLOCK);
    char byte;
    check_error("EAGAIN", read(terminal, &byte, 1), EAGAIN);
    struct pollfd waiting = { terminal, POLLIN | POLLOUT, 0 };
    check("poll", poll(&waiting, 1, 0) == 1 && waiting.revents == POLLOUT);
    type("\n");
    check("poll with a line", poll(&waiting, 1, 0) == 1 && waiting.revents == (POLLIN | POLLOUT));
    fcntl(terminal, F_SETFL, O_RDWR);
    check("half becomes a line", reads("half\n"));
    type("junk\n");
    check("tcflush", tcflush(terminal, TCIFLUSH) == 0 && ioctl(terminal, FIONREAD, &count) == 0 && count == 0);

    struct termios now = settings();
    now.c_cc[VEOL] = ';';
    tcsetattr(terminal, TCSANOW, &now);
    type("a;b\n");
    check("VEOL", reads("a;") && reads("b\n"));
    shown();

    set_local(0, ECHO);
    char big[6000];
    memset(big, 'x', sizeof big);
    for (int at = 0; at < 5000; at += 500) {
        write(controller, big, 500);
        usleep(10000);
    }
    type("\n");
    char text[8192];
    ssize_t length = read(terminal, text, sizeof text);
    check("a line has 4096 bytes at most", length == 4096 && text[4095] == '\n');

    type("in raw");
    set_local(0, ICANON);
    check("raw sees the unfinished line", reads("in raw"));
    type("back");
    set_local(ICANON, 0);
    check("canonical sees raw input as a line", reads("back"));
    close_pair();
}

static void mapping(void)
{
    open_pair();
    set_local(0, ECHO | ICANON);
    set_input(0, ICRNL);
    type("\r\n");
    check("no mapping", reads("\r\n"));
    set_input(INLCR, 0);
    type("\r\n");
    check("INLCR", reads("\r\r"));
    set_input(IGNCR, INLCR);
    type("a\rb");
    check("IGNCR", reads("ab"));
    set_input(ISTRIP, IGNCR);
    type("\341");
    check("ISTRIP", reads("a"));
    set_input(IUCLC, ISTRIP);
    type("ABC");
    check("IUCLC", reads("abc"));

    write(terminal, "a\nb\tc", 5);
    check("ONLCR", shows("a\r\nb\tc"));
    set_output(XTABS, 0);
    write(terminal, "\r\tx\tyz", 6);
    check("XTABS", shows("\r        x       yz"));
    set_output(OCRNL, XTABS | ONLCR);
    write(terminal, "a\rb\n", 4);
    check("OCRNL", shows("a\nb\n"));
    set_output(ONOCR | ONLCR, OCRNL);
    write(terminal, "\n\r\rx\r", 5);
    check("ONOCR", shows("\r\nx\r"));
    set_output(OLCUC, ONOCR);
    write(terminal, "abc", 3);
    check("OLCUC", shows("ABC"));
    set_output(0, OPOST);
    write(terminal, "a\nb", 3);
    check("without OPOST", shows("a\nb"));
    close_pair();
}

static void raw(void)
{
    struct timespec start;
    open_pair();
    set_raw(0, 0);
    check("MIN 0 TIME 0: nothing", reads(""));
    type("ab");
    check("MIN 0 TIME 0: something", reads("ab"));

    set_raw(0, 2);
    clock_gettime(CLOCK_MONOTONIC, &start);
    check("MIN 0 TIME 2: nothing", reads(""));
    check("after 200 ms", elapsed_ms(&start) >= 190);
    type("x");
    check("MIN 0 TIME 2: something", reads("x"));

    set_raw(3, 0);
    int count;
    type("ab");
    struct pollfd waiting = { terminal, POLLIN, 0 };
    check("MIN 3: not ready with 2", poll(&waiting, 1, 0) == 0);
    check("but FIONREAD", ioctl(terminal, FIONREAD, &count) == 0 && count == 2);
    pid_t child = fork();
    if (!child) {
        usleep(100000);
        type("c");
        _exit(0);
    }
    check("MIN 3 TIME 0 waits for the third", reads("abc"));
    waitpid(child, NULL, 0);
    type("abcdef");
    check("MIN 3: more", reads("abcdef"));
    type("abc");
    check("MIN 3: a short buffer", reads_limited(2, "ab"));

    set_raw(5, 2);
    clock_gettime(CLOCK_MONOTONIC, &start);
    check("MIN 5 TIME 2: the gap ends it", reads("c"));
    check("after 200 ms more", elapsed_ms(&start) >= 190);
    close_pair();
}

static void flow(void)
{
    open_pair();
    int count;
    struct pollfd waiting = { terminal, POLLOUT, 0 };
    fcntl(terminal, F_SETFL, O_RDWR | O_NONBLOCK);
    type("\023");
    check_error("^S holds", write(terminal, "held", 4), EAGAIN);
    check("and is not writable", poll(&waiting, 1, 0) == 0);
    type("\021");
    check("^Q lets go", write(terminal, "free", 4) == 4 && shows("free"));
    check("TCOOFF", tcflow(terminal, TCOOFF) == 0);
    check_error("holds too", write(terminal, "held", 4), EAGAIN);
    check("TCOON", tcflow(terminal, TCOON) == 0 && write(terminal, "more", 4) == 4 && shows("more"));
    tcflow(terminal, TCIOFF);
    check("TCIOFF", shows("\023"));
    set_input(IXANY, 0);
    type("\023");
    type("k");
    check("IXANY", write(terminal, "any", 3) == 3 && shows("kany"));
    type("\023");
    fcntl(terminal, F_SETFL, O_RDWR);
    pid_t child = fork();
    if (!child) {
        usleep(100000);
        type("\021");
        _exit(0);
    }
    check("a write waits for ^Q", write(terminal, "late", 4) == 4 && shows("late"));
    waitpid(child, NULL, 0);
    fcntl(terminal, F_SETFL, O_RDWR | O_NONBLOCK);
    char big[1000] = { 0 };
    long total = 0;
    int refused = 0, ready = 1;
    /* Linux passes on behind our back what was written, which makes room. */
    for (int try = 0; ready && try < 100; try++) {
        for (ssize_t done; (done = write(terminal, big, sizeof big)) > 0;)
            total += done;
        refused += errno == EAGAIN;
        ready = poll(&waiting, 1, 0);
    }
    check("a full terminal answers EAGAIN", refused > 0);
    check("after at least 1000 bytes", total >= 1000);
    check("and is not writable then", ready == 0);
    usleep(20000);
    check("FIONREAD of the controller", ioctl(controller, FIONREAD, &count) == 0 && count > 0);
    close_pair();
}

static volatile sig_atomic_t seen;

static void note(int number)
{
    seen = number;
}

static int wait_seen(int number)
{
    for (int i = 0; i < 2000 && seen != number; i++)
        usleep(10000);
    int is_right = seen == number;
    seen = 0;
    return is_right;
}

/* The state of a child that stops or ends within twenty seconds; -1 if it does neither. */
static int news(pid_t child)
{
    int status;
    for (int i = 0; i < 2000; i++) {
        if (waitpid(child, &status, WNOHANG | WUNTRACED) == child)
            return status;
        usleep(10000);
    }
    return -1;
}

/* A child in a group of its own that does one thing with the terminal and exits with what went wrong. */
static pid_t background(int action)
{
    pid_t child = fork();
    if (child) {
        setpgid(child, child);
        return child;
    }
    setpgid(0, 0);
    signal(SIGTTOU, action & 8 ? SIG_IGN : SIG_DFL);
    signal(SIGTTIN, action & 8 ? SIG_IGN : SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    char byte;
    struct termios now = settings();
    errno = 0;
    switch (action & 7) {
    case 0:
        _exit(read(terminal, &byte, 1) == 1 ? 0 : errno);
    case 1:
        _exit(write(terminal, "w", 1) == 1 ? 0 : errno);
    case 2:
        _exit(tcsetattr(terminal, TCSANOW, &now) == 0 ? 0 : errno);
    case 3:
        _exit(tcsetpgrp(terminal, getpgrp()) == 0 ? 0 : errno);
    default:
        pause();
        _exit(0);
    }
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* Runs as the leader of a session whose controlling terminal is the pair's. */
static int leader(void)
{
    int signals[] = { SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGHUP, SIGCONT };
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], note);
    failures = 0;

    check_error("no terminal yet", open("/dev/tty", O_RDWR), ENXIO);
    check("TIOCSCTTY", ioctl(terminal, TIOCSCTTY, 0) == 0);
    check("TIOCSCTTY again", ioctl(terminal, TIOCSCTTY, 0) == 0);
    int tty = open("/dev/tty", O_RDWR);
    check("/dev/tty opens", tty >= 0);
    close(tty);
    check("session", tcgetsid(terminal) == getpid());
    check("foreground", tcgetpgrp(terminal) == getpgrp());
    check_error("a group that is not", tcsetpgrp(terminal, 999999), ESRCH);
    check_error("a group of another session", tcsetpgrp(terminal, getpgid(getppid())), EPERM);
    check_error("a negative group", tcsetpgrp(terminal, -5), EINVAL);

    type("\003");
    check("^C", wait_seen(SIGINT) && shows("^C"));
    type("\034");
    check("^\\", wait_seen(SIGQUIT) && shows("^\\"));
    type("\032");
    check("^Z", wait_seen(SIGTSTP) && shows("^Z"));
    type("lost\003");
    wait_seen(SIGINT);
    fcntl(terminal, F_SETFL, O_RDWR | O_NONBLOCK);
    type("\n");
    check("^C discards the line", reads("\n"));
    set_local(NOFLSH, 0);
    type("kept\003\n");
    wait_seen(SIGINT);
    check("but not with NOFLSH", reads("kept\n"));
    fcntl(terminal, F_SETFL, O_RDWR);
    struct winsize size = { 30, 90, 0, 0 };
    check("SIGWINCH", ioctl(controller, TIOCSWINSZ, &size) == 0 && wait_seen(SIGWINCH));
    memset(&size, 0, sizeof size);
    check("the new size", ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_row == 30 && size.ws_col == 90);
    shown();

    pid_t child = background(0);
    int status = news(child);
    check("a background read stops", WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(terminal, child);
    kill(-child, SIGCONT);
    type("z\n");
    status = news(child);
    check("in the foreground it reads", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check("the leader takes the terminal back", tcsetpgrp(terminal, getpgrp()) == 0);
    tcflush(terminal, TCIFLUSH);

    child = background(8);
    status = news(child);
    check("with SIGTTIN ignored it fails", WIFEXITED(status) && WEXITSTATUS(status) == EIO);
    child = background(1);
    status = news(child);
    check("a background write passes", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    set_local(TOSTOP, 0);
    child = background(1);
    status = news(child);
    check("but not with TOSTOP", WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    end(child);
    child = background(1 | 8);
    status = news(child);
    check("SIGTTOU ignored", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    set_local(0, TOSTOP);
    child = background(2);
    status = news(child);
    check("a background tcsetattr stops", WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    end(child);
    child = background(3);
    status = news(child);
    check("a background tcsetpgrp stops", WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    end(child);

    seen = 0;
    close(controller);
    check("the end of the controller hangs up", wait_seen(SIGHUP) || seen == SIGCONT);
    char byte;
    check("reads end", read(terminal, &byte, 1) == 0);
    check_error("writes fail", write(terminal, "x", 1), EIO);
    check_error("requests fail", ioctl(terminal, TCGETS, &byte), EIO);
    struct pollfd waiting = { terminal, POLLIN, 0 };
    check("poll says so", poll(&waiting, 1, 0) == 1 && waiting.revents & POLLHUP);
    check_error("/dev/tty is gone", open("/dev/tty", O_RDWR), ENXIO);
    return failures;
}

static void job_control(void)
{
    open_pair();
    pid_t child = fork();
    if (!child) {
        setsid();
        _exit(leader());
    }
    close(controller);
    int status;
    waitpid(child, &status, 0);
    check("the session's checks", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(terminal);
}

static void leaving(void)
{
    open_pair();
    char byte;
    check("a terminal that is closed", close(terminal) == 0);
    check_error("ends the controller's reads", read(controller, &byte, 1), EIO);
    struct pollfd waiting = { controller, POLLIN, 0 };
    check("POLLHUP", poll(&waiting, 1, 0) == 1 && waiting.revents & POLLHUP);
    terminal = ioctl(controller, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    check("it opens again", terminal >= 0);
    write(terminal, "again", 5);
    check("and works", shows("again"));
    close_pair();

    open_pair();
    write(terminal, "last words", 10);
    close(terminal);
    check("what was written is read after the close", shows("last words"));
    close(controller);

    int unlocked;
    char name[32];
    controller = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    check("a new pair is locked", ioctl(controller, TIOCGPTLCK, &unlocked) == 0 && unlocked == 1);
    ioctl(controller, TIOCGPTN, &unlocked);
    snprintf(name, sizeof name, "/dev/pts/%d", unlocked);
    check_error("and cannot be opened", ioctl(controller, TIOCGPTPEER, O_RDWR | O_NOCTTY), EIO);
    close(controller);
    check_error("its name goes with it", open(name, O_RDWR | O_NOCTTY), ENOENT);
}

static void *write_and_close(void *argument)
{
    write(terminal, "x", 1);
    close(terminal);
    return argument;
}

/* What is written just before the last close is read before the end. */
static void last_byte(void)
{
    int lost = 0;
    char byte;
    pthread_t thread;
    for (time_t end = time(NULL) + 2; time(NULL) < end;) {
        open_pair();
        fcntl(controller, F_SETFL, O_NONBLOCK);
        pthread_create(&thread, NULL, write_and_close, NULL);
        ssize_t count;
        while ((count = read(controller, &byte, 1)) == -1 && errno == EAGAIN)
            sched_yield();
        lost += count != 1;
        pthread_join(thread, NULL);
        close(controller);
    }
    check("no end before the last byte", lost == 0);
}

/* Two session leaders open one terminal at the same time: it controls one of them. */
static void two_leaders(void)
{
    int wrong = 0, number;
    char name[32];
    volatile int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (time_t end = time(NULL) + 2; time(NULL) < end;) {
        open_pair();
        ioctl(controller, TIOCGPTN, &number);
        snprintf(name, sizeof name, "/dev/pts/%d", number);
        *ready = 0;
        for (int i = 0; i < 2; i++) {
            if (fork())
                continue;
            signal(SIGHUP, SIG_IGN);
            setsid();
            __atomic_add_fetch(ready, 1, __ATOMIC_SEQ_CST);
            while (*ready % 4 < 2)
                sched_yield();
            open(name, O_RDWR);
            int has_it = open("/dev/tty", O_RDWR) >= 0;
            __atomic_add_fetch(ready, 4, __ATOMIC_SEQ_CST);
            while (*ready < 8)
                sched_yield();
            _exit(has_it);
        }
        int status, count = 0;
        while (wait(&status) > 0)
            count += WEXITSTATUS(status);
        wrong += count != 1;
        close_pair();
    }
    check("a terminal controls one of two leaders", wrong == 0);
    munmap((void *)ready, 4096);
}

/* The terminal that its controller opens is the one with a name. */
static void named(void)
{
    struct stat open_one, by_name;
    char name[32], link[32], shown_name[32] = "";
    int number;
    open_pair();
    ioctl(controller, TIOCGPTN, &number);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    snprintf(link, sizeof link, "/proc/self/fd/%d", terminal);
    check("a terminal's name", readlink(link, shown_name, sizeof shown_name - 1) > 0 && strcmp(shown_name, name) == 0);
    check("its mode changes", fchmod(terminal, 0640) == 0 && fchown(terminal, -1, getgid()) == 0);
    check("by name too", stat(name, &by_name) == 0 && fstat(terminal, &open_one) == 0 && by_name.st_ino == open_one.st_ino &&
                             (by_name.st_mode & 07777) == 0640 && (open_one.st_mode & 07777) == 0640);
    close_pair();
}

/* What an administrator has locked, nobody changes. */
static void locking(void)
{
    struct termios locked, settings;
    open_pair();
    memset(&locked, 1, sizeof locked);
    check("nothing is locked", ioctl(terminal, TIOCGLCKTRMIOS, &locked) == 0 && !locked.c_iflag && !locked.c_oflag &&
                                   !locked.c_cflag && !locked.c_lflag && !locked.c_line && !locked.c_cc[VERASE]);
    locked.c_lflag = ECHO;
    locked.c_cc[VERASE] = 1;
    check("locking", ioctl(terminal, TIOCSLCKTRMIOS, &locked) == 0);
    memset(&locked, 0, sizeof locked);
    check("shows", ioctl(controller, TIOCGLCKTRMIOS, &locked) == 0 && locked.c_lflag == ECHO && locked.c_cc[VERASE] == 1);
    tcgetattr(terminal, &settings);
    settings.c_lflag &= ~(ECHO | ICANON);
    settings.c_cc[VERASE] = 8;
    settings.c_cc[VKILL] = 9;
    tcsetattr(terminal, TCSANOW, &settings);
    tcgetattr(terminal, &settings);
    check("what is locked stays", settings.c_lflag & ECHO && settings.c_cc[VERASE] == 0x7f);
    check("the rest changes", !(settings.c_lflag & ICANON) && settings.c_cc[VKILL] == 9);
    pid_t pid = fork();
    if (pid == 0) {
        setuid(65534);
        _exit(ioctl(terminal, TIOCSLCKTRMIOS, &locked) == -1 ? errno : 0);
    }
    int status;
    check("users may not lock", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == EPERM);
    close_pair();
}

int main(void)
{
    signal(SIGHUP, SIG_IGN);
    setpgid(0, 0); /* as process 1 of a namespace its group would be none that it can name */
    initial();
    editing();
    lines();
    mapping();
    raw();
    flow();
    job_control();
    leaving();
    named();
    locking();
    last_byte();
    two_leaders();
    return finish();
}
