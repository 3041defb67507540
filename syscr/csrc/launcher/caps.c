/* Capabilities inside the task's own user namespace: all but two for the tool, none for the user's tree.
 * They mean nothing outside of that namespace.
 * CRIU 4.2 must not have SETUID there: "Unable to initialize id-s: Invalid argument" (namespaces.c:1625). */
#define _GNU_SOURCE
#include "launcher.h"

#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool set_capabilities(uint64_t effective, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = data[half].permitted = (uint32_t)(effective >> (32 * half));
        data[half].inheritable = (uint32_t)(inheritable >> (32 * half));
    }
    return syscall(SYS_capset, &header, data) == 0;
}

bool keep_tool_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    uint64_t all = ((uint64_t)data[1].permitted << 32) | data[0].permitted;
    uint64_t kept = all & ~((1ULL << CAP_SETUID) | (1ULL << CAP_SETGID));
    if (!set_capabilities(all, kept))
        return false;
    for (int number = 0; number < 64; number++)
        if (kept & (1ULL << number))
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0); /* unknown to this kernel: skipped */
    return true;
}

bool drop_capabilities(void)
{
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return set_capabilities(0, 0);
}
