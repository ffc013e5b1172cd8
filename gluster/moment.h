/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as gluster writes them for people: "2026-11-21 15:28:27.595343 +0000".
 */
#ifndef GLUSTER_MOMENT_H
#define GLUSTER_MOMENT_H

#include <stdint.h>

/* Nanoseconds since 1970, which writer_member_time() takes; 0: it is no time ("N/A").  Without an offset
   it is taken for this host's local time, which is how gsyncd writes it on its host. */
int64_t moment_read(const char *text);

#endif
