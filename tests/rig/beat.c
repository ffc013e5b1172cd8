/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to a disk of the tiny guest, for ever, what a reader can check (tests/rig/tiny.py: check_beats()).
 *
 * Beat n is one block of noise, which n alone decides, at a place that n decides too; then, once that is on the
 * disk, the first block tells n.  So whatever copy of the disk was taken at one moment holds just what beats 1 to n
 * leave, and perhaps the noise of n + 1.  It goes on behind the last beat that it finds.
 *
 *   beat FILE [INTERVAL-MS [BLOCKS [OFFSET]]]
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE 4096
#define MAGIC "tinybeat"
#define MIX UINT64_C(0x9e3779b97f4a7c15)

struct record {
    char magic[8];
    uint64_t count;  /* of beats that are on the disk; little endian, as the others */
    uint64_t blocks; /* that the noise is spread over, behind the record's own */
};

static uint64_t
mix(uint64_t n) /* splitmix64 */
{
    n += MIX;
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31);
}

static void
die(const char *what)
{
    fprintf(stderr, "beat: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void
write_block(int fd, const void *block, uint64_t offset)
{
    if (pwrite(fd, block, BLOCK_SIZE, (off_t)offset) != BLOCK_SIZE)
        die("write");
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: beat FILE [INTERVAL-MS [BLOCKS [OFFSET]]]\n", stderr);
        return 2;
    }
    uint64_t interval_ms = argc > 2 ? strtoull(argv[2], NULL, 10) : 20;
    uint64_t blocks = argc > 3 ? strtoull(argv[3], NULL, 10) : 256;
    uint64_t offset = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    /* Each write is on the disk when it returns. */
    int fd = open(argv[1], O_RDWR | O_CREAT | O_SYNC | O_CLOEXEC, 0644);
    if (fd < 0)
        die(argv[1]);
    static uint64_t block[BLOCK_SIZE / sizeof(uint64_t)];
    struct record record;
    uint64_t n = 0;
    if (pread(fd, &record, sizeof(record), (off_t)offset) == sizeof(record) &&
        memcmp(record.magic, MAGIC, sizeof(record.magic)) == 0) {
        n = le64toh(record.count);
        blocks = le64toh(record.blocks);
    }
    for (;;) {
        n++;
        for (uint64_t i = 0; i < BLOCK_SIZE / sizeof(uint64_t); i++)
            block[i] = htole64(mix(n) + i * MIX);
        write_block(fd, block, offset + BLOCK_SIZE * (1 + mix(~n) % blocks));
        memset(block, 0, sizeof(block));
        record = (struct record){ .magic = MAGIC, .count = htole64(n), .blocks = htole64(blocks) };
        memcpy(block, &record, sizeof(record));
        write_block(fd, block, offset);
        printf("beat %llu\n", (unsigned long long)n);
        fflush(stdout);
        nanosleep(&(struct timespec){ .tv_sec = (time_t)(interval_ms / 1000),
                                      .tv_nsec = (long)(interval_ms % 1000) * 1000000 },
                  NULL);
    }
}
