# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  storage/checksum.c storage/checksum.h \
  storage/copy-compare.c \
  storage/copy-record.c storage/copy-record.h \
  storage/copy.c storage/copy.h \
  storage/disk-live.c storage/disk-live.h \
  storage/disk.c storage/disk.h \
  storage/endpoint-file.c \
  storage/endpoint-gluster-make.c \
  storage/endpoint-gluster.c \
  storage/endpoint-kind.h \
  storage/endpoint-map.c \
  storage/endpoint-nbd-open.c \
  storage/endpoint-nbd.c storage/endpoint-nbd.h \
  storage/endpoint-url.c \
  storage/endpoint.c storage/endpoint.h \
  storage/folder-gluster-lock.c \
  storage/folder-gluster.c storage/folder-gluster.h \
  storage/folder-kind.h \
  storage/folder-posix.c \
  storage/folder.c storage/folder.h \
  storage/format.c storage/format.h \
  storage/gluster-volume.c storage/gluster-volume.h \
  storage/image-check-verbs.c \
  storage/image-copy-verbs.c \
  storage/image-data.c storage/image-data.h \
  storage/image-export-verbs.c \
  storage/image-lock.c storage/image-lock.h \
  storage/image-serve-record.c storage/image-serve-record.h \
  storage/image-serve-table.c storage/image-serve-table.h \
  storage/image-serve-verbs.c \
  storage/image-serve.c storage/image-serve.h \
  storage/image-status.c \
  storage/image-merge-verbs.c \
  storage/image-merge.c storage/image-merge.h \
  storage/image-optimize-verbs.c \
  storage/image-release-verbs.c \
  storage/image-resize-verbs.c \
  storage/image-resize.c storage/image-resize.h \
  storage/image-snapshot-verbs.c \
  storage/image-snapshot.c storage/image-snapshot.h \
  storage/image-steps.c storage/image-steps.h \
  storage/image-use.c storage/image-use.h \
  storage/image-verbs.c \
  storage/image.c storage/image.h \
  storage/mount.c storage/mount.h \
  storage/nbd-socket.c storage/nbd-socket.h \
  storage/qemu-lock.c storage/qemu-lock.h \
  storage/reader.c storage/reader.h \
  storage/repository-chains.c storage/repository-chains.h \
  storage/repository-check.c storage/repository-check.h \
  storage/repository-health.c storage/repository-health.h \
  storage/repository-place.c storage/repository-place.h \
  storage/repository-table.c storage/repository-table.h \
  storage/repository-verbs.c storage/repository-verbs.h \
  storage/repository.c storage/repository.h \
  storage/storage.c storage/storage.h \
  storage/transfer.c storage/transfer.h \
  storage/unmount.c storage/unmount.h \
  storage/url.c storage/url.h \
  storage/uring.c storage/uring.h

UNIT_TESTS += tests/unit/test-checksum tests/unit/test-copy tests/unit/test-disk tests/unit/test-disk-live tests/unit/test-endpoint tests/unit/test-endpoint-map tests/unit/test-endpoint-nbd \
  tests/unit/test-folder tests/unit/test-format tests/unit/test-gluster-volume tests/unit/test-image tests/unit/test-image-data tests/unit/test-image-lock tests/unit/test-image-use tests/unit/test-image-verbs \
  tests/unit/test-mount tests/unit/test-qemu-lock tests/unit/test-repository-chains tests/unit/test-repository-check tests/unit/test-repository-health tests/unit/test-repository-place tests/unit/test-repository-verbs tests/unit/test-transfer \
  tests/unit/test-image-serve tests/unit/test-image-serve-record tests/unit/test-image-serve-verbs
UNIT_TESTS += tests/unit/test-endpoint-url tests/unit/test-nbd-socket tests/unit/test-url
EXTRA_DIST += tests/unit/endpoint-fixture.h tests/unit/repository-fixture.h tests/unit/serve-fixture.h \
  tests/unit/storage-fixture.h

libhostler_a_SOURCES += \
  storage/ticket-exchange.c \
  storage/ticket-use.c storage/ticket-use.h \
  storage/ticket-verbs.c storage/ticket-verbs.h \
  storage/ticket-work.c \
  storage/ticket.c storage/ticket.h
UNIT_TESTS += tests/unit/test-ticket
