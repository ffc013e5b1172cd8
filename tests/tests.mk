# SPDX-License-Identifier: Apache-2.0
# Fragments add their unit tests to UNIT_TESTS; a test's only source is its name with ".c".
# Folders of Python tests need no line here: they run whole, and the archive takes them whole.
if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
LDADD += $(CMOCKA_LIBS)

# A byte that no code expects in fresh and in freed memory (glibc's; the sanitizers have their own).
if SANITIZED
AM_TESTS_ENVIRONMENT = export HOSTLER_SOURCE='$(abs_top_srcdir)' HOSTLER_BUILD='$(abs_top_builddir)';
else
AM_TESTS_ENVIRONMENT = export HOSTLER_SOURCE='$(abs_top_srcdir)' HOSTLER_BUILD='$(abs_top_builddir)' \
  MALLOC_PERTURB_=165 MALLOC_CHECK_=3;
endif

PYTEST = env HOSTLER_SOURCE='$(abs_top_srcdir)' HOSTLER_BUILD='$(abs_top_builddir)' \
  PYTHONDONTWRITEBYTECODE=1 $(PYTHON3) -m pytest -q -p no:cacheprovider

.PHONY: check-lint check-asan check-tsan check-valgrind check-threads check-wire check-real check-guest \
  check-crash check-fuzz fuzz soak

check-lint:
	@failed=; for lint in $(srcdir)/tests/lint/lint-*.sh; do \
	  echo "lint: $$lint"; HOSTLER_BUILD='$(abs_top_builddir)' sh $$lint $(srcdir) || failed="$$failed $$lint"; \
	done; test -z "$$failed" || { echo "lint: failed:$$failed" >&2; exit 1; }

# The unit tests in a build of their own, below this one.
check-asan:
	$(srcdir)/tests/sub-build.sh '$(abs_top_srcdir)' build-asan check \
	  --enable-sanitizers=address,undefined
check-tsan:
	$(srcdir)/tests/sub-build.sh '$(abs_top_srcdir)' build-tsan check --enable-sanitizers=thread
check-valgrind: $(check_PROGRAMS)
	HOSTLER_VALGRIND=1 $(MAKE) check-TESTS LOG_COMPILER='$(VALGRIND)' LOG_FLAGS='-q --error-exitcode=1 \
	  --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
	  --child-silent-after-fork=yes'
# For a build with --enable-sanitizers=thread: units, and a daemon under load.
check-threads: all check
	$(PYTEST) $(srcdir)/tests/stress

check-wire: all
	$(PYTEST) $(srcdir)/tests/wire
check-real: all
	$(PYTEST) $(srcdir)/tests/real
# What of it runs in a guest of QEMU (tests/rig/guest.py, tests/guest).
check-guest: all
	$(PYTEST) -m guest $(srcdir)/tests/real
check-crash: all
	$(PYTEST) $(srcdir)/tests/crash
# FUZZ_SECONDS for each target: 'make fuzz FUZZ_SECONDS=3600'.
FUZZ_SECONDS = 60
check-fuzz fuzz:
	$(srcdir)/tests/fuzz/run.sh $(FUZZ_SECONDS)
# The long forms of crash and stress, at least 1,000 kills, and of the clones in a guest.
soak: all
	HOSTLER_SOAK=1 $(PYTEST) $(srcdir)/tests/crash $(srcdir)/tests/stress \
	  $(srcdir)/tests/real/test_gluster_snapshots.py

EXTRA_DIST += tests/sub-build.sh tests/conftest.py tests/skips-allowed \
  tests/clients tests/crash tests/fuzz tests/guest tests/lint tests/real tests/rig tests/stress tests/unit/gluster tests/wire
# The script ./check has the name of a target, which EXTRA_DIST would make.
dist-hook: dist-check-script dist-tests-clean
dist-check-script:
	cp -p $(srcdir)/check $(distdir)/check
dist-tests-clean:
	find $(distdir)/tests -name __pycache__ -o -name node_modules -o -name .pytest_cache | \
	  xargs rm -rf
.PHONY: dist-check-script dist-tests-clean

clean-local:
	rm -rf build-asan build-tsan
