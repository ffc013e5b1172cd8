/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/checksum.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/thread.h"
#include "storage/reader.h"

#define DIGEST_SIZE 32

static const char zeros[READER_LEAF_SIZE];

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

static bool
add_leaf(EVP_MD_CTX *root, const struct leaf *leaf, const unsigned char zero_leaf[DIGEST_SIZE],
         struct error **err)
{
    unsigned char leaf_digest[DIGEST_SIZE];

    if (!leaf->bytes && leaf->size == READER_LEAF_SIZE)
        return EVP_DigestUpdate(root, zero_leaf, DIGEST_SIZE) == 1;
    return digest(leaf->bytes ? leaf->bytes : zeros, leaf->size, leaf_digest, err) &&
           EVP_DigestUpdate(root, leaf_digest, DIGEST_SIZE) == 1;
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
    _cleanup_(free_context) EVP_MD_CTX *root = EVP_MD_CTX_new();
    _cleanup_(reader_freep) struct reader *reader = NULL;
    unsigned char zero_leaf[DIGEST_SIZE], result[DIGEST_SIZE], size_bytes[8];
    uint64_t total = endpoint_size(source);
    struct leaf leaf;

    WORKER_ONLY();
    if (!root || EVP_DigestInit_ex(root, EVP_sha256(), NULL) != 1)
        return error_set(err, ERROR_INTERNAL, "SHA-256 is not available");
    if (!digest(zeros, READER_LEAF_SIZE, zero_leaf, err) || !reader_new(source, &reader, err))
        return false;
    for (;;) {
        if (!reader_next(reader, &leaf, err))
            return false;
        if (leaf.size == 0)
            break;
        if (aborted && aborted(context))
            return error_set(err, ERROR_TASK_ABORTED, "aborted at byte %llu",
                             (unsigned long long)leaf.offset);
        if (!add_leaf(root, &leaf, zero_leaf, err))
            return *err ? false : error_set(err, ERROR_INTERNAL, "SHA-256 failed");
        if (progress)
            progress(context, leaf.offset + leaf.size, total);
    }
    for (int i = 0; i < 8; i++)
        size_bytes[i] = (unsigned char)(total >> (56 - 8 * i));
    if (EVP_DigestUpdate(root, size_bytes, sizeof(size_bytes)) != 1 ||
        EVP_DigestFinal_ex(root, result, NULL) != 1)
        return error_set(err, ERROR_INTERNAL, "SHA-256 failed");
    write_hex(result, ret_checksum);
    return true;
}
