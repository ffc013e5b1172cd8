# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  virt/adoption.c virt/adoption.h \
  virt/backup-job.c \
  virt/backup-left-verbs.c \
  virt/backup-snapshot.c virt/backup-snapshot.h \
  virt/backup-steps.c virt/backup-steps.h \
  virt/backup-table.c virt/backup-table.h \
  virt/backup-verbs.c \
  virt/backup-wish.c virt/backup-wish.h \
  virt/backup.c virt/backup.h \
  virt/checkpoint-verbs.c \
  virt/connection.c virt/connection.h \
  virt/description.c virt/description.h \
  virt/device-xml.c virt/device-xml.h \
  virt/device.c virt/device.h \
  virt/disk-chain.c virt/disk-chain.h \
  virt/disk-job.c virt/disk-job.h \
  virt/disk-redefine.c \
  virt/disk-verbs.h \
  virt/disk-work.c virt/disk-work.h \
  virt/domain-xml.c virt/domain-xml.h \
  virt/failure.c virt/failure.h \
  virt/freeze.c virt/freeze.h \
  virt/guest-info.c virt/guest-info.h \
  virt/guest-verbs.c \
  virt/job-adopt.c virt/job-adopt.h \
  virt/job-look.c virt/job-look.h \
  virt/job-table.c virt/job-table.h \
  virt/migration-args.c virt/migration-args.h \
  virt/migration-ask.c virt/migration-ask.h \
  virt/migration-find.c \
  virt/migration-internal.h \
  virt/migration-target.c virt/migration-target.h \
  virt/migration-verbs.c \
  virt/migration-watch.c virt/migration-watch.h \
  virt/migration.c virt/migration.h \
  virt/news-register.c \
  virt/news.c virt/news.h \
  virt/offer.c virt/offer.h \
  virt/picture.c virt/picture.h \
  virt/places.c virt/places.h \
  virt/platform.c virt/platform.h \
  virt/sockets.c virt/sockets.h \
  virt/stale-uses.c virt/stale-uses.h \
  virt/unplug.c virt/unplug.h \
  virt/virt-internal.h \
  virt/virt.c virt/virt.h \
  virt/vm-attach-verbs.c \
  virt/vm-change.c virt/vm-change.h \
  virt/vm-console-verbs.c \
  virt/vm-define-verbs.c \
  virt/vm-detach-verbs.c \
  virt/vm-disks.c virt/vm-disks.h \
  virt/vm-figures.c virt/vm-figures.h \
  virt/vm-jobs-verbs.c \
  virt/vm-life-verbs.c \
  virt/vm-make.c virt/vm-make.h \
  virt/vm-media-verbs.c \
  virt/vm-merge-verbs.c \
  virt/vm-move-verbs.c \
  virt/vm-needs.c virt/vm-needs.h \
  virt/vm-read-verbs.c \
  virt/vm-resize-verbs.c \
  virt/vm-save-verbs.c \
  virt/vm-screenshot-verbs.c \
  virt/vm-settle-verbs.c \
  virt/vm-size-verbs.c \
  virt/vm-snapshot-verbs.c \
  virt/vm-stats-verbs.c \
  virt/vm-stats.c virt/vm-stats.h \
  virt/vm-steps.c virt/vm-steps.h \
  virt/vm-table.c virt/vm-table.h \
  virt/vm-tune-verbs.c \
  virt/vm-undefine-verbs.c \
  virt/vm.c virt/vm.h

UNIT_TESTS += tests/unit/test-migration
UNIT_TESTS += tests/unit/test-guest-info tests/unit/test-offer tests/unit/test-sockets tests/unit/test-vm tests/unit/test-vm-figures
UNIT_TESTS += tests/unit/test-disk-chain
UNIT_TESTS += tests/unit/test-backup
UNIT_TESTS += tests/unit/test-description tests/unit/test-domain-xml
EXTRA_DIST += tests/unit/description-fixture.h
UNIT_TESTS += tests/unit/test-picture tests/unit/test-unplug
