/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership helpers: what a scope owns is freed on every way out of it.
 *
 * A variable marked _cleanup_… is always initialised where it is declared; TAKE() hands its value
 * on and empties it.  DEFINE_CLEANUP(struct x, x_free) stands in the header of the type.
 */
#ifndef AGENT_BASE_CLEANUP_H
#define AGENT_BASE_CLEANUP_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(text, first) __attribute__((__format__(__printf__, text, first)))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* The value of 'variable', which is emptied: its owner is now whoever gets the value. */
#define TAKE(variable)                                                                             \
    ({                                                                                             \
        __typeof__(variable) *take_from_ = &(variable);                                            \
        __typeof__(variable) taken_ = *take_from_;                                                 \
        *take_from_ = NULL;                                                                        \
        taken_;                                                                                    \
    })
#define TAKE_FD(variable)                                                                          \
    ({                                                                                             \
        int *take_from_ = &(variable);                                                             \
        int taken_ = *take_from_;                                                                  \
        *take_from_ = -1;                                                                          \
        taken_;                                                                                    \
    })

/* Makes 'x_freep' for _cleanup_(x_freep). */
#define DEFINE_CLEANUP(type, function)                                                             \
    static inline void function##p(type **pointer)                                                 \
    {                                                                                              \
        function(*pointer);                                                                        \
    }

static inline void
cleanup_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void
cleanup_close_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

#define _cleanup_free_ _cleanup_(cleanup_free_pointer)
#define _cleanup_close_ _cleanup_(cleanup_close_fd)

/*
 * Small fixed allocations: zeroed, never NULL; out of memory ends the process, which crash-only
 * design makes safe.  Whatever a caller, a file or a peer sizes is bounded before it comes here.
 */
void *xalloc(size_t size);
void *xrealloc(void *memory, size_t size);
char *xstrdup(const char *string);
char *xstrndup(const char *string, size_t length);
char *xprintf(const char *format, ...) _printf_(1, 2);

/* A NULL-terminated list of strings and the strings; NULL is fine. */
void strings_free(char **strings);
DEFINE_CLEANUP(char *, strings_free)

#endif
