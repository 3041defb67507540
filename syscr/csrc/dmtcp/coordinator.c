/*
 * Keeps other users away from a DMTCP coordinator: preloaded into dmtcp_coordinator only.
 *
 * A coordinator asks nobody who he is; whoever reaches its port may list, checkpoint and kill. Ours
 * listens on the loopback address, so what is left are other users of the same node. accept() looks up who
 * owns the other end of the connection, in the kernel's own table; a stranger's is closed at once and the
 * coordinator gets an end of a socket pair whose other end is closed, which it drops as a client that
 * left. Nothing a stranger sends is ever read.
 *
 * It also shortens the time that a program stands still: both sides write a message in two pieces, and the
 * second waits for the acknowledgement of the first, which the other side's kernel delays by 40 ms. A
 * checkpoint has about ten such messages. TCP_NODELAY does it for what the coordinator writes, TCP_QUICKACK,
 * which has to be set anew each time, for what it reads.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum answer { FOREIGN, OWN, UNKNOWN };

/* Asks for the socket whose local end is `client` and whose remote end is `ours`. */
static bool ask(int link, const struct sockaddr_in *client, const struct sockaddr_in *ours)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request;
    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = sizeof request;
    request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.head.nlmsg_flags = NLM_F_REQUEST;
    request.body.sdiag_family = AF_INET;
    request.body.sdiag_protocol = IPPROTO_TCP;
    request.body.idiag_states = ~0U;
    request.body.id.idiag_sport = client->sin_port;
    request.body.id.idiag_dport = ours->sin_port;
    request.body.id.idiag_src[0] = client->sin_addr.s_addr;
    request.body.id.idiag_dst[0] = ours->sin_addr.s_addr;
    request.body.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
    request.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return send(link, &request, sizeof request, 0) == (ssize_t)sizeof request;
}

/* The quick way; UNKNOWN also where the kernel has no inet_diag. */
static enum answer ask_netlink(const struct sockaddr_in *client, const struct sockaddr_in *ours)
{
    const struct timeval limit = {.tv_sec = 1};
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } reply;
    enum answer answer = UNKNOWN;
    int link = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (link < 0)
        return UNKNOWN;
    if (setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 && ask(link, client, ours)) {
        ssize_t count = recv(link, &reply, sizeof reply, 0);
        if (count >= (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)) && NLMSG_OK(&reply.head, (size_t)count) &&
            reply.head.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
            const struct inet_diag_msg *found = NLMSG_DATA(&reply.head);
            answer = found->idiag_uid == geteuid() && found->idiag_inode != 0 ? OWN : FOREIGN;
        }
    }
    close(link);
    return answer;
}

/* The slow way; a connection that is not listed has been closed by its owner and counts as foreign. */
static enum answer read_table(const struct sockaddr_in *client, const struct sockaddr_in *ours)
{
    char line[512];
    enum answer answer = FOREIGN;
    FILE *table = fopen("/proc/self/net/tcp", "re");
    if (table == NULL)
        return UNKNOWN;
    while (answer == FOREIGN && fgets(line, sizeof line, table) != NULL) {
        unsigned local, local_port, remote, remote_port, uid;
        unsigned long inode;
        if (sscanf(line, " %*u: %x:%x %x:%x %*x %*x:%*x %*x:%*x %*x %u %*u %lu", &local, &local_port, &remote,
                   &remote_port, &uid, &inode) == 6 &&
            local == client->sin_addr.s_addr && local_port == ntohs(client->sin_port) &&
            remote == ours->sin_addr.s_addr && remote_port == ntohs(ours->sin_port) && uid == geteuid() &&
            inode != 0)
            answer = OWN;
    }
    fclose(table);
    return answer;
}

/* Whether the other end of an accepted connection belongs to the coordinator's own user. Where nothing can
   be found out it does: refusing would end every task, and DMTCP alone would not have asked. */
static bool is_own(int connection)
{
    struct sockaddr_in client, ours;
    socklen_t size = sizeof client;
    if (getpeername(connection, (struct sockaddr *)&client, &size) != 0 || client.sin_family != AF_INET)
        return false;
    size = sizeof ours;
    if (getsockname(connection, (struct sockaddr *)&ours, &size) != 0)
        return false;
    enum answer answer = ask_netlink(&client, &ours);
    if (answer == UNKNOWN)
        answer = read_table(&client, &ours);
    return answer != FOREIGN;
}

int accept(int listener, struct sockaddr *address, socklen_t *size)
{
    int connection = (int)syscall(SYS_accept4, listener, address, size, 0);
    if (connection < 0)
        return connection;
    if (is_own(connection)) {
        const int on = 1;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without it, no more */
        return connection;
    }
    close(connection);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    close(pair[1]);
    return pair[0];
}

ssize_t read(int descriptor, void *buffer, size_t size)
{
    const int on = 1;
    int before = errno;
    if (descriptor > STDERR_FILENO)
        setsockopt(descriptor, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on); /* not a TCP socket: no matter */
    errno = before;
    return syscall(SYS_read, descriptor, buffer, size);
}
