/* Descendants of a process by parent links in the host's /proc. */
#define _GNU_SOURCE
#include "launcher.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REAP_ROUNDS = 5000, REAP_PAUSE_NS = 1000000 };

struct link {
    pid_t pid, parent;
    bool inside;
};

static pid_t read_parent(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    char *after_name = strrchr(text, ')'); /* the name may hold anything */
    int parent;
    if (after_name == NULL || sscanf(after_name + 1, " %*c %d", &parent) != 1)
        return -1;
    return parent;
}

static size_t read_links(struct link **links)
{
    DIR *proc = opendir("/proc");
    size_t count = 0, room = 0;
    *links = NULL;
    if (proc == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pid_t pid = atoi(entry->d_name), parent = read_parent(pid);
        if (parent < 0)
            continue;
        if (count == room) {
            size_t more = room ? room * 2 : 256;
            struct link *grown = realloc(*links, more * sizeof *grown);
            if (grown == NULL)
                break;
            *links = grown;
            room = more;
        }
        (*links)[count++] = (struct link){pid, parent, false};
    }
    closedir(proc);
    return count;
}

static bool is_excepted(pid_t pid, const pid_t *except, size_t count)
{
    for (size_t index = 0; index < count; index++)
        if (except[index] == pid)
            return true;
    return false;
}

/* Calls visit for every descendant of root, parents first; what lies below an exception is left out too. */
void visit_descendants(pid_t root, const pid_t *except, size_t count, visit_process visit, void *data)
{
    struct link *links;
    size_t total = read_links(&links);
    for (bool found = true; found;) {
        found = false;
        for (size_t index = 0; index < total; index++) {
            struct link *one = &links[index];
            if (one->inside || is_excepted(one->pid, except, count))
                continue;
            bool inside = one->parent == root;
            for (size_t other = 0; !inside && other < total; other++)
                inside = links[other].inside && links[other].pid == one->parent;
            if (inside) {
                one->inside = found = true;
                visit(one->pid, data);
            }
        }
    }
    free(links);
}

static void send_kill(pid_t pid, void *data)
{
    (void)data;
    kill(pid, SIGKILL); /* gone already: nothing to do */
}

void kill_descendants(pid_t root)
{
    visit_descendants(root, NULL, 0, send_kill, NULL);
}

/* Ends and reaps all that is below us. */
void end_children(void)
{
    const struct timespec pause = {.tv_nsec = REAP_PAUSE_NS};
    for (int round = 0; round < REAP_ROUNDS; round++) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0)
            return; /* none left */
        kill_descendants(getpid());
        nanosleep(&pause, NULL);
    }
}
