/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between fork() and exec() the child shares nothing but memory that other threads may be changing,
 * so it makes system calls only; all that it needs is made before.  A descriptor that only exec()
 * closes tells whether there was one, or the error number of what failed.
 *
 * The child leads a process group of its own.  While it is not reaped its number, and so the
 * group's, is nobody else's: the group is killed first, then the child is reaped.
 */
#include <config.h>

#include "agent/base/child-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"

#define STANDARD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define STDERR_KEPT 4096
#define READ_SIZE 16384
#define LISTENER_FD 3 /* of a server: where systemd's protocol puts its socket */

/* What the new process needs, made before fork(); it only reads it. */
struct start {
    const char *program; /* path */
    char *const *argv;
    char *const *environment;
    const struct child_limits *limits;
    pid_t parent;
    int dirfd;
    int input, output, errors; /* become 0, 1, 2 */
    int listener;              /* becomes 3; -1: there is none */
    int held;                  /* becomes 4; -1: there is none; else there is a listener */
    char *listen_pid; /* where the environment has the child's own number; with 'listener' */
    int failure;      /* gets errno when exec() was not reached */
};

static const char *
search_path(void)
{
    const char *path = getenv("PATH");

    return path && *path ? path : STANDARD_PATH;
}

static bool
is_program(const char *path)
{
    struct stat status;

    return access(path, X_OK) == 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* The path of a program, to be freed, or NULL. */
static char *
find_program(const char *name)
{
    if (strchr(name, '/'))
        return is_program(name) ? xstrdup(name) : NULL;
    for (const char *element = search_path(); *element;) {
        size_t length = strcspn(element, ":");
        _cleanup_free_ char *path = xprintf("%.*s/%s", (int)length, element, name);

        /* An element that is no absolute path would make the working directory's owner root. */
        if (*element == '/' && is_program(path))
            return TAKE(path);
        element += length + (element[length] == ':');
    }
    return NULL;
}

bool
child_exists(const char *program)
{
    _cleanup_free_ char *path = find_program(program);

    return path != NULL;
}

/* In the child. */
static bool
set_limit(__rlimit_resource_t resource, uint64_t value)
{
    struct rlimit limit = { .rlim_cur = value, .rlim_max = value };

    return value == 0 || setrlimit(resource, &limit) == 0;
}

/* In the child: all of the agent's descriptors go with exec(), the failure pipe last. */
static void
close_the_rest(const struct start *start)
{
    int first = LISTENER_FD + (start->listener >= 0) + (start->held >= 0);

    if (syscall(SYS_close_range, (unsigned)first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    /* Before Linux 5.11 and under valgrind.  All of ours have the flag; a library's may not. */
    for (int fd = first; fd < 1024; fd++)
        if (fd != start->failure)
            (void)close(fd);
}

/* In the child: its number, which nobody knew before, without any function that allocates. */
static void
write_number(char *place, pid_t number)
{
    char digits[16];
    size_t count = 0;

    for (; number > 0; number /= 10)
        digits[count++] = (char)('0' + number % 10);
    while (count > 0)
        *place++ = digits[--count];
    *place = '\0';
}

/* In the child.  Returns only when something failed, with errno. */
static void
become_program(const struct start *start)
{
    const struct rlimit no_core = { 0, 0 };
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigset_t none;

    if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return;
    if (getppid() != start->parent) /* the agent died before the line above */
        _exit(127);
    /* Handlers go with exec(), but what is ignored stays so: a SIGPIPE would never end it. */
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &standard, NULL);
    (void)sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        return;
    if (!set_limit(RLIMIT_AS, start->limits->memory_size) ||
        !set_limit(RLIMIT_FSIZE, start->limits->file_size) ||
        !set_limit(RLIMIT_CPU, start->limits->cpu_s) || setrlimit(RLIMIT_CORE, &no_core) < 0)
        return;
    if (start->dirfd >= 0 && fchdir(start->dirfd) < 0)
        return;
    if (dup2(start->input, STDIN_FILENO) < 0 || dup2(start->output, STDOUT_FILENO) < 0 ||
        dup2(start->errors, STDERR_FILENO) < 0)
        return;
    if (start->listener >= 0) {
        if (dup2(start->listener, LISTENER_FD) < 0)
            return;
        write_number(start->listen_pid, getpid());
    }
    if (start->held >= 0 && dup2(start->held, CHILD_HELD_FD) < 0)
        return;
    close_the_rest(start);
    (void)execve(start->program, start->argv, start->environment);
}

/* fork() with all signals blocked, so that no handler of the agent's runs in the child. */
static pid_t
fork_program(const struct start *start)
{
    sigset_t all, before;
    pid_t pid;

    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        int failure;

        become_program(start);
        failure = errno;
        (void)!write(start->failure, &failure, sizeof(failure));
        _exit(127);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Above 4, so that none is overwritten while 0 to 4 are set up, even where the agent was started
   without them. */
static int
move_above_standard(int fd)
{
    int moved;

    if (fd < 0 || fd > CHILD_HELD_FD)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, CHILD_HELD_FD + 1);
    (void)close(fd);
    return moved;
}

static bool
make_pipe(int ret_ends[2])
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    ret_ends[0] = move_above_standard(ends[0]);
    ret_ends[1] = move_above_standard(ends[1]);
    return ret_ends[0] >= 0 && ret_ends[1] >= 0;
}

static void
close_now(int *fd)
{
    cleanup_close_fd(fd);
    *fd = -1;
}

static void
close_both(int (*ends)[2])
{
    close_now(&(*ends)[0]);
    close_now(&(*ends)[1]);
}

void
child_reap(pid_t pid, int *ret_status)
{
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        continue;
}

static bool
not_installed(const char *name, struct error **err)
{
    error_set(err, ERROR_BACKEND_UNAVAILABLE, "'%s' is not installed", name);
    error_data_text(err, "backend", "%s", name);
    return error_data_text(err, "reason", "no program '%s' in PATH", name);
}

static bool
cannot_run(const char *name, int errnum, struct error **err)
{
    error_errno(err, ERROR_BACKEND_FAILED, errnum, "cannot run '%s'", name);
    return error_data_text(err, "backend", "%s", name);
}

/* Whether exec() was reached; else errno is what failed. */
static bool
has_started(int failure)
{
    int errnum = 0;
    ssize_t got;

    do
        got = read(failure, &errnum, sizeof(errnum));
    while (got < 0 && errno == EINTR);
    if (got > 0)
        errno = errnum;
    return got == 0;
}

/* Another descriptor of the same, or -1 of -1. */
static int
copy_above_standard(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, CHILD_HELD_FD + 1);
}

bool
child_start(struct child *child, const char *const argv[], int dirfd, int listener, int held,
            struct error **err)
{
    static char locale[] = "LC_ALL=C", home[] = "HOME=/", listen_fds[] = "LISTEN_FDS=1";
    char listen_pid[32] = "LISTEN_PID=";
    _cleanup_close_ int socket = copy_above_standard(listener);
    _cleanup_close_ int kept = copy_above_standard(held);
    _cleanup_(close_both) int output[2] = { -1, -1 };
    _cleanup_(close_both) int errors[2] = { -1, -1 };
    _cleanup_(close_both) int failure[2] = { -1, -1 };
    _cleanup_close_ int input = move_above_standard(open("/dev/null", O_RDWR | O_CLOEXEC));
    _cleanup_free_ char *program = find_program(child->name);
    _cleanup_free_ char *path = xprintf("PATH=%s", search_path());
    /* execve() writes none of them. */
    char *const variable = (char *)(uintptr_t)child->limits->variable;
    char *const environment[] = {
        path, locale, home, listener < 0 ? variable : listen_fds, listener < 0 ? NULL : listen_pid,
        NULL
    };
    struct start start;
    pid_t pid;

    if (!program)
        return not_installed(child->name, err);
    if (input < 0 || !make_pipe(output) || !make_pipe(errors) || !make_pipe(failure) ||
        fcntl(output[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(errors[0], F_SETFL, O_NONBLOCK) < 0)
        return cannot_run(child->name, errno, err);
    /* Nobody reads what a server prints until it has ended: a full pipe must not stop it. */
    if ((held >= 0 && kept < 0) ||
        (listener >= 0 && (socket < 0 || fcntl(errors[1], F_SETFL, O_NONBLOCK) < 0)))
        return cannot_run(child->name, errno, err);
    start = (struct start){ .program = program,
                            .argv = (char *const *)(uintptr_t)argv, /* execve() changes nothing */
                            .environment = environment,
                            .limits = child->limits,
                            .parent = getpid(),
                            .dirfd = dirfd,
                            .input = input,
                            .output = listener < 0 ? output[1] : input,
                            .errors = errors[1],
                            .listener = socket,
                            .held = kept,
                            .listen_pid = listen_pid + strlen(listen_pid),
                            .failure = failure[1] };
    pid = fork_program(&start);
    if (pid < 0)
        return cannot_run(child->name, errno, err);
    close_now(&failure[1]);
    if (!has_started(failure[0])) {
        int errnum = errno;

        child_reap(pid, NULL);
        return cannot_run(child->name, errnum, err);
    }
    child->pid = pid;
    child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
    child->output = TAKE_FD(output[0]);
    child->errors = TAKE_FD(errors[0]);
    return true;
}

/* Reads all that is there; closes the pipe at its end. */
static bool
drain(int *fd, struct text *text, size_t kept)
{
    while (*fd >= 0) {
        ssize_t got = read(*fd, text_reserve(text, READ_SIZE), READ_SIZE);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0) {
            close_now(fd);
            return true;
        }
        text_grow(text, (size_t)got);
        if (text->length > kept)
            return false;
    }
    return true;
}

void
child_drain_errors(struct child *child)
{
    struct text *text = &child->error_text;

    /* Of errors the last says most: what goes beyond is dropped in front.  Sixteen times is more
       than a pipe holds; a child that never stops writing must not keep us from its deadline. */
    for (unsigned i = 0; i < 16 && !drain(&child->errors, text, STDERR_KEPT); i++) {
        memmove(text->bytes, text->bytes + text->length - STDERR_KEPT, STDERR_KEPT + 1);
        text->length = STDERR_KEPT;
    }
}

bool
child_look(const struct child *child, bool *ret_ended)
{
    siginfo_t information = { .si_pid = 0 };

    if (waitid(P_PID, (id_t)child->pid, &information, WEXITED | WNOHANG | WNOWAIT) < 0)
        return errno == EINTR;
    *ret_ended = information.si_pid == child->pid;
    return true;
}

/* Collects what it prints until it has ended.  False: it must be killed. */
static bool
child_watch(struct child *child, struct error **err)
{
    const struct child_limits *limits = child->limits;

    for (;;) {
        struct pollfd fds[] = { { .fd = child->output, .events = POLLIN },
                                { .fd = child->errors, .events = POLLIN },
                                { .fd = child->pidfd, .events = POLLIN } };
        bool ended = false;

        if (poll(fds, ARRAY_COUNT(fds), CHILD_LOOK_INTERVAL_MS) < 0 && errno != EINTR)
            return cannot_run(child->name, errno, err);
        /* Before reading: all that it wrote is in the pipes then. */
        if (!child_look(child, &ended))
            return cannot_run(child->name, errno, err);
        child_drain_errors(child);
        if (!drain(&child->output, &child->output_text, limits->output_size))
            return error_set(err, ERROR_LIMIT_EXCEEDED, "'%s' printed more than %zu bytes",
                             child->name, limits->output_size);
        if (ended)
            return true;
        if (limits->abort && atomic_load(limits->abort))
            return error_set(err, ERROR_TASK_ABORTED, "aborted while '%s' ran", child->name);
        if (child->deadline_ns && clock_monotonic_ns() >= child->deadline_ns)
            return error_set(err, ERROR_TIMEOUT, "'%s' took longer than %u ms", child->name,
                             limits->timeout_ms);
    }
}

static bool
child_judge(struct child *child, int status, struct error **err)
{
    struct text *text = &child->error_text;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    const char *last = "";

    if (code == 0)
        return true;
    while (text->length > 0 && strchr("\n\r ", text->bytes[text->length - 1]))
        text->bytes[--text->length] = '\0';
    if (text->length > 0) {
        last = strrchr(text->bytes, '\n');
        last = last ? last + 1 : text->bytes;
    }
    if (code < 0)
        error_set(err, ERROR_BACKEND_FAILED, "'%s' was ended by signal %d", child->name, -code);
    else
        error_set(err, ERROR_BACKEND_FAILED, "'%s' failed with status %d%s%s", child->name, code,
                  *last ? ": " : "", last);
    error_data_text(err, "backend", "%s", child->name);
    error_data_number(err, "code", code);
    return error_data_text(err, "text", "%s", text->bytes ? text->bytes : "");
}

void
child_done(struct child *child)
{
    close_now(&child->output);
    close_now(&child->errors);
    close_now(&child->pidfd);
    text_done(&child->output_text);
    text_done(&child->error_text);
}

/* To its end.  '*ret_status' is as waitpid() has it. */
static bool
child_await_end(struct child *child, const char *const argv[], int dirfd, int listener, int held,
                int *ret_status, struct error **err)
{
    bool ended;

    WORKER_ONLY();
    if (child->limits->timeout_ms)
        child->deadline_ns = clock_monotonic_ns() + child->limits->timeout_ms * NS_PER_MS;
    if (!child_start(child, argv, dirfd, listener, held, err))
        return false;
    ended = child_watch(child, err);
    (void)kill(-child->pid, SIGKILL);
    child_reap(child->pid, ret_status);
    return ended;
}

static void
hand_out(struct text *text, struct text *ret_text)
{
    text_done(ret_text);
    *ret_text = *text;
    *text = TEXT_INIT;
}

static bool
run(const char *const argv[], int dirfd, int listener, int held, const struct child_limits *limits,
    struct text *ret_output, struct error **err)
{
    _cleanup_(child_done) struct child child = {
        .name = argv[0], .limits = limits, .pidfd = -1, .output = -1, .errors = -1
    };
    int status = 0;

    if (!child_await_end(&child, argv, dirfd, listener, held, &status, err) ||
        !child_judge(&child, status, err))
        return false;
    hand_out(&child.output_text, ret_output);
    return true;
}

bool
child_run(const char *const argv[], int dirfd, const struct child_limits *limits,
          struct text *ret_output, struct error **err)
{
    return run(argv, dirfd, -1, -1, limits, ret_output, err);
}

bool
child_ask(const char *const argv[], int dirfd, const struct child_limits *limits,
          struct text *ret_output, struct text *ret_errors, int *ret_status, struct error **err)
{
    _cleanup_(child_done) struct child child = {
        .name = argv[0], .limits = limits, .pidfd = -1, .output = -1, .errors = -1
    };
    int status = 0;

    if (!child_await_end(&child, argv, dirfd, -1, -1, &status, err))
        return false;
    if (!WIFEXITED(status))
        return child_judge(&child, status, err);
    hand_out(&child.output_text, ret_output);
    hand_out(&child.error_text, ret_errors);
    *ret_status = WEXITSTATUS(status);
    return true;
}

bool
child_leave_daemon(const char *const argv[], int listener, int held,
                   const struct child_limits *limits, struct error **err)
{
    _cleanup_text_ struct text nothing = TEXT_INIT;

    return run(argv, -1, listener, held, limits, &nothing, err);
}
