/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server is asked for the first byte alone: the answer tells whether it knows pieces at all, which
 * what it says of itself ("Accept-Ranges") does not, and its size, which HEAD may not.
 */
#include <config.h>

#include "storage/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/base/text.h"
#include "agent/base/thread.h"

static const char *const schemes[] = { "http://", "https://",    "nbd://",
                                       "nbds://", "nbd+unix://", "nbds+unix://" };

/* The scheme that 'url' begins with, or NULL. */
static const char *
scheme_of(const char *url)
{
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++)
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return schemes[i];
    return NULL;
}

bool
url_is(const char *source)
{
    return *source != '/';
}

bool
url_is_http(const char *url)
{
    return strncmp(url, "http", 4) == 0;
}

bool
url_check(const char *url, struct error **err)
{
    const char *scheme = scheme_of(url);
    const char *host;
    size_t length;

    if (!scheme)
        return error_param(err, "url",
                           "must begin with http://, https://, nbd://, nbds://, nbd+unix:// or "
                           "nbds+unix://");
    for (const char *at = url; *at; at++)
        if (*at <= ' ' || *at > '~')
            return error_param(err, "url",
                               "has a character in it that must be written as %%XX: byte %zu",
                               (size_t)(at - url));
    host = url + strlen(scheme);
    length = strcspn(host, "/?#");
    if (memchr(host, '@', length))
        return error_param(err, "url",
                           "has a user's name in it, which would be shown in logs and process "
                           "lists: use one that needs none");
    if (length == 0 && !strstr(scheme, "+unix"))
        return error_param(err, "url", "names no host");
    if (strstr(scheme, "+unix") && (length > 0 || !strstr(host, "?socket=/")))
        return error_param(err, "url", "must be like %s/EXPORT?socket=/PATH", scheme);
    return true;
}

char *
url_show(const char *url)
{
    return url_is_http(url) && strchr(url, '?') ? xprintf("%.*s?...", (int)strcspn(url, "?"), url)
                                                : xstrdup(url);
}

char *
url_of_socket(const char *export, const char *path)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    _cleanup_text_ struct text url = TEXT_INIT;

    text_printf(&url, "nbd+unix:///%s?socket=", export);
    for (const char *at = path; *at; at++)
        text_printf(&url, strchr(plain, *at) ? "%c" : "%%%02X", (unsigned char)*at);
    return text_take(&url);
}

const char *
url_protocols(const char *url)
{
    return strncmp(url, "https:", 6) == 0 ? "https" : "http,https";
}

const char *
url_authorities(void)
{
    const char *file = getenv("SSL_CERT_FILE");

    return file && *file == '/' ? file : NULL;
}

#ifdef HAVE_LIBCURL

#include <curl/curl.h>

#define CONNECT_TIMEOUT_S 10L
#define TIMEOUT_S 30L
#define REDIRECTS_MAX 10L
#define HEADER_MAX 512 /* bytes of one value that are kept */
#define LEGACY_HTTP_OK 200
#define HTTP_PARTIAL 206
#define HTTP_NOT_FOUND 404
#define HTTP_GONE 410
#define HTTP_NOT_SATISFIABLE 416

struct probe {
    const atomic_bool *abort; /* borrowed, or NULL */
    char *etag, *modified;    /* owned, or NULL; of the last answer */
    unsigned long long size;
    bool has_size;
};

static void
forget(struct probe *probe)
{
    free(TAKE(probe->etag));
    free(TAKE(probe->modified));
    probe->has_size = false;
}

static void
probe_done(struct probe *probe)
{
    forget(probe);
}

/* The value of header 'name' as printable text, to be freed; NULL: it is another. */
static char *
value_of(const char *line, size_t size, const char *name)
{
    size_t length = strlen(name);
    char *value;

    if (size <= length || strncasecmp(line, name, length) != 0)
        return NULL;
    line += length;
    size -= length;
    while (size > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        size--;
    }
    while (size > 0 && line[size - 1] <= ' ')
        size--;
    value = xstrndup(line, size < HEADER_MAX ? size : HEADER_MAX);
    for (char *at = value; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return value;
}

static void
keep(char **place, char *value_take)
{
    if (!value_take)
        return;
    free(*place);
    *place = value_take;
}

static size_t
take_header(char *line, size_t one, size_t size, void *context)
{
    struct probe *probe = context;
    _cleanup_free_ char *range = value_of(line, size, "content-range:");

    (void)one;
    if (size >= 5 && strncmp(line, "HTTP/", 5) == 0)
        forget(probe); /* what came before was a redirect's */
    keep(&probe->etag, value_of(line, size, "etag:"));
    keep(&probe->modified, value_of(line, size, "last-modified:"));
    if (range && (sscanf(range, "bytes %*[0-9]-%*[0-9]/%llu", &probe->size) == 1 ||
                  sscanf(range, "bytes */%llu", &probe->size) == 1))
        probe->has_size = true;
    return size;
}

/* One byte is wanted; a server that sends all has been asked enough. */
static size_t
take_body(char *bytes, size_t one, size_t size, void *context)
{
    (void)bytes;
    (void)one;
    (void)context;
    return size == 1 ? size : 0;
}

static int
look_at_abort(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct probe *probe = context;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return probe->abort && atomic_load(probe->abort);
}

static bool
backend_failed(struct error **err, const char *shown, const char *text)
{
    error_set(err, ERROR_BACKEND_FAILED, "cannot read '%s': %s", shown, text);
    error_data_text(err, "backend", "curl");
    return error_data_text(err, "text", "%s", text);
}

static bool
judge_transport(CURLcode code, const char *shown, const char *words, struct error **err)
{
    const char *text = *words ? words : curl_easy_strerror(code);

    switch (code) {
    case CURLE_OK:
    case CURLE_WRITE_ERROR: return true; /* take_body() has had enough */
    case CURLE_ABORTED_BY_CALLBACK:
        return error_set(err, ERROR_TASK_ABORTED, "aborted while '%s' was asked", shown);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(err, ERROR_TIMEOUT, "cannot read '%s': %s", shown, text);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
        return error_param(err, "url", "leads to what is not read from: %s", text);
    case CURLE_URL_MALFORMAT: return error_param(err, "url", "is not a URL: %s", text);
    default: return backend_failed(err, shown, text);
    }
}

static bool
judge_answer(long status, const struct probe *probe, const char *shown, struct error **err)
{
    _cleanup_free_ char *text = NULL;

    if (status == HTTP_PARTIAL && probe->has_size && probe->size > 0)
        return true;
    if (status == HTTP_NOT_FOUND || status == HTTP_GONE) {
        error_set(err, ERROR_NOT_FOUND, "there is nothing at '%s': the server answers %ld", shown,
                  status);
        error_data_text(err, "kind", "url");
        return error_data_text(err, "id", "%s", shown);
    }
    if (status == HTTP_NOT_SATISFIABLE || (status == HTTP_PARTIAL && probe->has_size))
        return error_param(err, "url", "leads to nothing: it is empty");
    if (status == LEGACY_HTTP_OK || status == HTTP_PARTIAL)
        return error_param(err, "url",
                           "leads to a server that does not give out parts (ranges): download it "
                           "first, and import the file");
    text = xprintf("the server answers %ld", status);
    backend_failed(err, shown, text);
    return error_data_number(err, "code", status);
}

static bool
set_up(CURL *curl, const char *url, struct probe *probe, char *words)
{
    const char *authorities = url_authorities();
    const char *protocols = url_protocols(url);

    /* Nothing of the environment but the authorities: nbdkit has none either. */
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTS_MAX) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_RANGE, "0-0") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERDATA, probe) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_at_abort) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, probe) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words) == CURLE_OK &&
           (!authorities || curl_easy_setopt(curl, CURLOPT_CAINFO, authorities) == CURLE_OK);
}

static bool
identify_http(const char *url, const atomic_bool *abort, char **ret_identity, struct error **err)
{
    _cleanup_(probe_done) struct probe probe = { .abort = abort };
    _cleanup_free_ char *shown = url_show(url);
    char words[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    CURLcode code;
    long status = 0;

    if (!curl || !set_up(curl, url, &probe, words)) {
        curl_easy_cleanup(curl);
        return backend_failed(err, shown, "libcurl does not know what this needs");
    }
    code = curl_easy_perform(curl);
    if (curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        status = 0;
    curl_easy_cleanup(curl);
    if (!judge_transport(code, shown, words, err) || !judge_answer(status, &probe, shown, err))
        return false;
    *ret_identity =
        xprintf("size %llu, ETag %s, modified %s", probe.size, probe.etag ? probe.etag : "none",
                probe.modified ? probe.modified : "unknown");
    return true;
}

#else

static bool
identify_http(const char *url, const atomic_bool *abort, char **ret_identity, struct error **err)
{
    (void)url;
    (void)abort;
    (void)ret_identity;
    error_set(err, ERROR_BACKEND_UNAVAILABLE,
              "http and https need libcurl, and this agent was built without");
    error_data_text(err, "backend", "libcurl");
    return error_data_text(err, "reason", "built without libcurl");
}

#endif

bool
url_identify(const char *url, const atomic_bool *abort, char **ret_identity, struct error **err)
{
    WORKER_ONLY();
    if (url_is_http(url))
        return identify_http(url, abort, ret_identity, err);
    *ret_identity = xstrdup("an NBD export");
    return true;
}
