/* CRIU's action script: runs once the tree is dumped and still frozen.
 *
 * Writes CRTOOLS_IMAGE_DIR/open-files: for every regular file that is open, or mapped from node-local
 * storage, a record of fields ended by NUL:
 *   G pid fd flags(octal) position size mode(octal) device inode mtime(ns) copy path    (fd -1: a mapping)
 * and a last field E. Node-local files (memory file systems and temporary directories) are copied to
 * local.N beside it, since another node has none of them; their content must be that of this moment.
 * Source: CRIU 4.2, Documentation/criu.txt, "ACTION SCRIPTS": stage post-dump, CRTOOLS_* variables. */
#define _GNU_SOURCE
#include "launcher.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { COPIES_MAX = 4096, PATH_ROOM = PATH_MAX + 64 };

struct copy {
    dev_t device;
    ino_t inode;
};

struct hook {
    FILE *list;
    const char *directory;
    struct copy copies[COPIES_MAX];
    size_t count;
    bool failed;
};

static const char *const temporary[] = {"/dev/shm/", "/tmp/", "/var/tmp/", "/run/"};

static bool is_node_local(const char *path)
{
    struct statfs system;
    for (size_t index = 0; index < sizeof temporary / sizeof *temporary; index++)
        if (strncmp(path, temporary[index], strlen(temporary[index])) == 0)
            return true;
    return statfs(path, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

/* Data only: holes stay holes. */
static bool copy_data(int from, int to, off_t size)
{
    char buffer[1 << 16];
    for (off_t start = 0; start < size;) {
        off_t data = lseek(from, start, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        off_t end = data < 0 ? size : lseek(from, data, SEEK_HOLE);
        if (data < 0)
            data = start; /* SEEK_DATA is not known here */
        if (end < 0 || end > size)
            end = size;
        while (data < end) {
            size_t want = (size_t)(end - data) < sizeof buffer ? (size_t)(end - data) : sizeof buffer;
            ssize_t got = pread(from, buffer, want, data);
            if (got == 0)
                errno = EIO; /* somebody has cut it meanwhile */
            ssize_t written = got <= 0 ? -1 : pwrite(to, buffer, (size_t)got, data);
            if (written <= 0)
                return false;
            data += written; /* where the disk is full a part was written; the next write says why not all */
        }
        start = end;
    }
    return ftruncate(to, size) == 0;
}

/* Name of the copy; empty where none is needed. The same file is copied once. */
static void copy_if_local(struct hook *hook, const char *source, const char *path, const struct stat *info,
                          char *name, size_t size)
{
    char target[PATH_ROOM];
    size_t index = 0;
    name[0] = '\0';
    if (!is_node_local(path))
        return;
    while (index < hook->count && (hook->copies[index].device != info->st_dev ||
                                   hook->copies[index].inode != info->st_ino))
        index++;
    snprintf(name, size, "local.%zu", index);
    if (index < hook->count)
        return;
    if (index == COPIES_MAX) {
        hook->failed = true;
        return;
    }
    hook->copies[hook->count++] = (struct copy){info->st_dev, info->st_ino};
    snprintf(target, sizeof target, "%s/%s", hook->directory, name);
    int from = open(source, O_RDONLY | O_CLOEXEC);
    int to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (from < 0 || to < 0 || !copy_data(from, to, info->st_size)) {
        complain("cannot copy node-local file '%s': %s", path, strerror(errno));
        hook->failed = true;
    }
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
}

static void put(struct hook *hook, const char *text)
{
    if (fputs(text, hook->list) < 0 || fputc('\0', hook->list) == EOF)
        hook->failed = true;
}

static void put_number(struct hook *hook, unsigned long long value, bool octal)
{
    char text[32];
    snprintf(text, sizeof text, octal ? "%llo" : "%llu", value);
    put(hook, text);
}

static void put_file(struct hook *hook, const char *pid, const char *fd, unsigned flags, long long position,
                     const struct stat *info, const char *copy, const char *path)
{
    put(hook, "G");
    put(hook, pid);
    put(hook, fd);
    put_number(hook, flags, true);
    put_number(hook, (unsigned long long)position, false);
    put_number(hook, (unsigned long long)info->st_size, false);
    put_number(hook, info->st_mode & 07777, true);
    put_number(hook, info->st_dev, false);
    put_number(hook, info->st_ino, false);
    put_number(hook, (unsigned long long)info->st_mtim.tv_sec * 1000000000 + (unsigned long long)info->st_mtim.tv_nsec,
               false);
    put(hook, copy);
    put(hook, path);
}

static void read_fdinfo(const char *pid, const char *fd, long long *position, unsigned *flags)
{
    char path[128], line[128];
    snprintf(path, sizeof path, "/proc/%.20s/fdinfo/%.20s", pid, fd);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "pos: %lld", position) != 1 && sscanf(line, "flags: %o", flags) == 1)
            break;
    if (file != NULL)
        fclose(file);
}

static void list_descriptors(struct hook *hook, const char *pid)
{
    char source[PATH_ROOM], path[PATH_ROOM], name[32];
    snprintf(source, sizeof source, "/proc/%s/fd", pid);
    DIR *directory = opendir(source);
    if (directory == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat info;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(source, sizeof source, "/proc/%s/fd/%.20s", pid, entry->d_name);
        ssize_t length = readlink(source, path, sizeof path - 1);
        if (length <= 0 || stat(source, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink == 0)
            continue; /* a file without a name goes into the image itself */
        path[length] = '\0';
        if (path[0] != '/' || strncmp(path, "/proc/", 6) == 0)
            continue;
        long long position = 0;
        unsigned flags = 0;
        read_fdinfo(pid, entry->d_name, &position, &flags);
        copy_if_local(hook, source, path, &info, name, sizeof name);
        put_file(hook, pid, entry->d_name, flags, position, &info, name, path);
    }
    closedir(directory);
}

static void list_mappings(struct hook *hook, const char *pid)
{
    char maps[64], name[32];
    static char line[PATH_ROOM + 128];
    snprintf(maps, sizeof maps, "/proc/%s/maps", pid);
    FILE *file = fopen(maps, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        struct stat info;
        char *path = strchr(line, '/');
        if (path == NULL)
            continue;
        path[strcspn(path, "\n")] = '\0';
        if (strncmp(path, "/SYSV", 5) == 0 || !is_node_local(path) || lstat(path, &info) != 0 ||
            !S_ISREG(info.st_mode))
            continue;
        copy_if_local(hook, path, path, &info, name, sizeof name);
        put_file(hook, pid, "-1", 0, 0, &info, name, path);
    }
    if (file != NULL)
        fclose(file);
}

static void walk(struct hook *hook, const char *pid)
{
    char path[128], child[16];
    list_descriptors(hook, pid);
    list_mappings(hook, pid);
    snprintf(path, sizeof path, "/proc/%.20s/task", pid);
    DIR *threads = opendir(path);
    if (threads == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%.20s/task/%.20s/children", pid, entry->d_name);
        FILE *children = fopen(path, "re");
        while (children != NULL && fscanf(children, "%15s", child) == 1)
            walk(hook, child);
        if (children != NULL)
            fclose(children);
    }
    closedir(threads);
}

int run_hook(void)
{
    static struct hook hook;
    char path[PATH_ROOM];
    const char *stage = getenv("CRTOOLS_SCRIPT_ACTION"), *pid = getenv("CRTOOLS_INIT_PID");
    if (stage == NULL || strcmp(stage, "post-dump") != 0)
        return 0;
    hook.directory = getenv("CRTOOLS_IMAGE_DIR");
    if (pid == NULL || hook.directory == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/open-files", hook.directory);
    hook.list = fopen(path, "wxe");
    if (hook.list == NULL) {
        complain("cannot write '%s': %s", path, strerror(errno));
        return 1;
    }
    walk(&hook, pid);
    put(&hook, "E");
    if (fclose(hook.list) != 0)
        hook.failed = true;
    return hook.failed ? 1 : 0;
}
