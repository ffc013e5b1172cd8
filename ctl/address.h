/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the agent is, and what we show at its door: --url, --token-file, --tls-….
 */
#ifndef CTL_ADDRESS_H
#define CTL_ADDRESS_H

#include "agent/base/error.h"

#define ADDRESS_DEFAULT_URL "unix:/run/hostler/hostlerd.sock"
#define ADDRESS_DEFAULT_PORT 54321

struct address {
    char *url;    /* as it was given; owned, as all strings here */
    char *socket; /* unix: its path; else NULL */
    char *host;   /* ws, wss: without brackets */
    int port;
    bool tls;
    char *path;                                     /* "/rpc" */
    char *token;                                    /* or NULL */
    const char *tls_ca, *tls_certificate, *tls_key; /* borrowed files, or NULL */
};

void address_done(struct address *address);

/* unix:PATH, ws://HOST[:PORT][/PATH], wss://….  '*ret_address' is filled on success only. */
bool address_parse(const char *url, struct address *ret_address, struct error **err) _must_check_;
/*
 * Takes the token from 'file' (a line 'ROLE TOKEN', or the token alone) when the address wants one.
 * NULL: on a loopback address, the one beside the default socket, if it can be read.
 * Refused on an address where a token would travel in clear text over a network.
 */
bool address_read_token(struct address *address, const char *file, struct error **err) _must_check_;
/* Whether the agent runs on this machine, with the same files, as far as the URL tells. */
bool address_is_here(const char *url);

#endif
