/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs that an image can be imported from, and what must stay as it is while that lasts.
 *
 * http and https are asked by libcurl; the bits are read by nbdkit (storage/endpoint-url.c).
 */
#ifndef STORAGE_URL_H
#define STORAGE_URL_H

#include <stdatomic.h>

#include "agent/base/error.h"

/* Where one import may be from: a URL, or else an absolute path. */
bool url_is(const char *source);
/* http and https; else nbd, nbds, nbd+unix, nbds+unix. */
bool url_is_http(const char *url);
/* InvalidParams for 'url' unless it is one of these, with nobody's name or password in it.  Any thread. */
bool url_check(const char *url, struct error **err) _must_check_;
/* As others may see it: what follows '?' in one of http may be somebody's key.  To be freed. */
char *url_show(const char *url);
/* Of the NBD export of that name at a socket of this host, whatever is in its path.  To be freed. */
char *url_of_socket(const char *export, const char *path);
/* What one of http may lead to, as curl names it: from https there is no way back to what anybody can change
   underway. */
const char *url_protocols(const char *url);
/* The certificates of authorities that servers are checked by, or NULL: those of the system. */
const char *url_authorities(void);

/*
 * What must be unchanged for what is read from it to be one image, as text that is only compared; to be
 * freed.  Of http: size, ETag, Last-Modified; it is found out whether it can be read in pieces.  Of NBD
 * nothing: its size is all that a server tells.
 * Errors: NotFound, InvalidParams for 'url' (no pieces, empty, a redirect elsewhere), BackendFailed,
 * BackendUnavailable (no libcurl), Timeout, TaskAborted.  Worker thread.
 */
bool url_identify(const char *url, const atomic_bool *abort, char **ret_identity,
                  struct error **err) _must_check_;

#endif
