/* ioctl_tty(2): packet mode of a pseudo-terminal's controller (TIOCPKT); vhangup(2); what a terminal is not. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int controller, terminal;
static char buffer[100];

/* Reads once; returns whether it is this control byte alone. */
static int told(int byte)
{
    return read(controller, buffer, sizeof buffer) == 1 && buffer[0] == byte;
}

static int open_pair(void)
{
    int number, unlock = 0;
    char name[40];
    controller = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (controller < 0 || ioctl(controller, TIOCGPTN, &number) || ioctl(controller, TIOCSPTLCK, &unlock))
        return 0;
    sprintf(name, "/dev/pts/%d", number);
    terminal = open(name, O_RDWR | O_NOCTTY);
    return terminal >= 0;
}

int main(void)
{
    int on = 1, off = 0, is_on;
    struct termios settings;
    check("a pair", open_pair());
    struct pollfd poller = {controller, POLLIN | POLLPRI, 0};
    tcgetattr(terminal, &settings);
    settings.c_oflag &= ~OPOST;
    tcsetattr(terminal, TCSANOW, &settings);
    check("off at first", ioctl(controller, TIOCGPKT, &is_on) == 0 && is_on == 0);
    check_error("not for the terminal", ioctl(terminal, TIOCPKT, &on), ENOTTY);
    check("on", ioctl(controller, TIOCPKT, &on) == 0 && ioctl(controller, TIOCGPKT, &is_on) == 0 && is_on == 1);
    check_error("nothing", read(controller, buffer, sizeof buffer), EAGAIN);
    write(terminal, "abc", 3);
    check("data after a zero", read(controller, buffer, sizeof buffer) == 4 && !memcmp(buffer, "\0abc", 4));
    write(terminal, "abc", 3);
    check("room for the zero alone", read(controller, buffer, 1) == 1 && buffer[0] == 0);
    check("takes no data", read(controller, buffer, sizeof buffer) == 4 && !memcmp(buffer, "\0abc", 4));
    tcflow(terminal, TCOOFF);
    check("ready, with priority", poll(&poller, 1, 1000) == 1 && (poller.revents & POLLPRI));
    check("stopped", told(TIOCPKT_STOP));
    tcflow(terminal, TCOON);
    check("started", told(TIOCPKT_START));
    check("no more of it", poll(&poller, 1, 0) == 0);
    settings.c_iflag &= ~IXON;
    tcsetattr(terminal, TCSANOW, &settings);
    check("flow control off", told(TIOCPKT_NOSTOP));
    settings.c_iflag |= IXON;
    tcsetattr(terminal, TCSANOW, &settings);
    check("flow control on", told(TIOCPKT_DOSTOP));
    tcflush(terminal, TCIFLUSH);
    check("input flushed", told(TIOCPKT_FLUSHREAD));
    check("off again", ioctl(controller, TIOCPKT, &off) == 0);
    write(terminal, "abc", 3);
    check("plain data", read(controller, buffer, sizeof buffer) == 3);
    check_error("no keyboard", ioctl(terminal, 0x4b33, buffer), ENOTTY);
    check_error("no virtual terminals", ioctl(terminal, 0x5603, buffer), ENOTTY);

    pid_t child = fork();
    if (child == 0) {
        setsid();
        setresuid(4321, 4321, 4321);
        _exit(vhangup() == -1 && errno == EPERM ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    check("vhangup needs rights", status == 0);
    return finish();
}
