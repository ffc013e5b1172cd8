/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/checksum.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/thread.h"

#define LEAF_SIZE (1024 * 1024)
#define DIGEST_SIZE 32

static void
free_context(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

static bool
digest(const void *bytes, size_t size, unsigned char ret_digest[DIGEST_SIZE], struct error **err)
{
    return EVP_Digest(bytes, size, ret_digest, NULL, EVP_sha256(), NULL) == 1 ||
           error_set(err, ERROR_INTERNAL, "SHA-256 is not available");
}

/* Whether all of the leaf is known to be zero without reading it. */
static bool
leaf_is_hole(struct endpoint *source, uint64_t offset, uint64_t end, bool *ret_hole,
             struct error **err)
{
    *ret_hole = true;
    while (offset < end) {
        bool zero;

        if (!endpoint_extent(source, offset, end, &zero, &offset, err))
            return false;
        if (!zero) {
            *ret_hole = false;
            return true;
        }
    }
    return true;
}

static bool
add_leaf(EVP_MD_CTX *root, struct endpoint *source, uint64_t offset, size_t size, char *buffer,
         const unsigned char zero_leaf[DIGEST_SIZE], struct error **err)
{
    unsigned char leaf[DIGEST_SIZE];
    bool hole;

    if (!leaf_is_hole(source, offset, offset + size, &hole, err))
        return false;
    if (hole && size == LEAF_SIZE)
        return EVP_DigestUpdate(root, zero_leaf, DIGEST_SIZE) == 1;
    if (hole)
        memset(buffer, 0, size);
    else if (!endpoint_read(source, offset, buffer, size, err)) {
        error_data_number(err, "offset", (int64_t)offset);
        return false;
    }
    return digest(buffer, size, leaf, err) && EVP_DigestUpdate(root, leaf, DIGEST_SIZE) == 1;
}

static void
write_hex(const unsigned char bytes[DIGEST_SIZE], char ret_text[CHECKSUM_TEXT_SIZE])
{
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        (void)snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

bool
checksum_run(struct endpoint *source,
             void (*progress)(void *context, uint64_t done, uint64_t total),
             bool (*aborted)(void *context), void *context, char ret_checksum[CHECKSUM_TEXT_SIZE],
             struct error **err)
{
    _cleanup_free_ char *buffer = xalloc(LEAF_SIZE);
    _cleanup_(free_context) EVP_MD_CTX *root = EVP_MD_CTX_new();
    unsigned char zero_leaf[DIGEST_SIZE], result[DIGEST_SIZE], size_bytes[8];
    uint64_t total = endpoint_size(source);

    WORKER_ONLY();
    if (!root || EVP_DigestInit_ex(root, EVP_sha256(), NULL) != 1)
        return error_set(err, ERROR_INTERNAL, "SHA-256 is not available");
    if (!digest(buffer, LEAF_SIZE, zero_leaf, err))
        return false;
    for (uint64_t offset = 0; offset < total; offset += LEAF_SIZE) {
        size_t size = total - offset < LEAF_SIZE ? (size_t)(total - offset) : LEAF_SIZE;

        if (aborted && aborted(context))
            return error_set(err, ERROR_TASK_ABORTED, "aborted at byte %llu",
                             (unsigned long long)offset);
        if (!add_leaf(root, source, offset, size, buffer, zero_leaf, err))
            return *err ? false : error_set(err, ERROR_INTERNAL, "SHA-256 failed");
        if (progress)
            progress(context, offset + size, total);
    }
    for (int i = 0; i < 8; i++)
        size_bytes[i] = (unsigned char)(total >> (56 - 8 * i));
    if (EVP_DigestUpdate(root, size_bytes, sizeof(size_bytes)) != 1 ||
        EVP_DigestFinal_ex(root, result, NULL) != 1)
        return error_set(err, ERROR_INTERNAL, "SHA-256 failed");
    write_hex(result, ret_checksum);
    return true;
}
