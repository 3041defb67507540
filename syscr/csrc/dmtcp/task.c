/*
 * Preloaded into each program of a task under DMTCP, to mend two faults of DMTCP's library (4.2.0 and main
 * 2bef5cf8; 2026-11). Without DMTCP it does nothing.
 *
 * SIGUSR2. `dmtcp_launch --ckpt-signal N` stops threads by signal N, but DMTCP's wrappers of sigaction() and
 * the like go on refusing SIGUSR2: they find the number out at their first use, by strtol(), and take a stale
 * errno for its failure (src/dmtcpworker.cpp, determineCkptSignal()). The first use is in DMTCP's checkpoint
 * thread, just after glibc's sigdelset() has set errno to EINVAL. The constructor below runs before that
 * thread exists, since this library stands behind DMTCP's in LD_PRELOAD, and makes the first use with a clean
 * errno.
 *
 * Output. DMTCP_QUIET is read by the first program only, not by those that it executes
 * (src/dmtcpworker.cpp, prepareLogAndProcessdDataFromSerialFile()): their warnings would get into the job's
 * output. Errors are printed all the same.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>

enum { QUIET_WARNINGS = 2, LEVEL_ERROR = 0 };

extern int jassert_quiet __attribute__((weak));                               /* 4.2.0 */
extern void _ZN5dmtcp11setLogLevelENS_8LogLevelE(int) __attribute__((weak)); /* main: dmtcp::setLogLevel() */

__attribute__((constructor)) static void mend(void)
{
    struct sigaction unused;
    int before = errno;
    errno = 0;
    sigaction(SIGUSR2, NULL, &unused);
    errno = before;
    if (&jassert_quiet != NULL)
        jassert_quiet = QUIET_WARNINGS;
    if (_ZN5dmtcp11setLogLevelENS_8LogLevelE != NULL)
        _ZN5dmtcp11setLogLevelENS_8LogLevelE(LEVEL_ERROR);
}
