/* What syscr hands over for this process to become. */
#ifndef SYSCR_HANDED_H
#define SYSCR_HANDED_H

#include <stddef.h>

#define MOST_DESCRIPTORS 64

/* What has come so far: text, and descriptors at high numbers. */
struct handed {
    char *text;
    size_t length;
    size_t room;
    int descriptors[MOST_DESCRIPTORS];
    int count;
};

enum taken { TAKEN_SOME, TAKEN_END };

/* Take what has come. kind: gets the first byte, which is no part of the text; NULL: all is text. */
enum taken take(struct handed *handed, int link, char *kind);

/* Become it; returns why that cannot be. */
const char *become(struct handed *handed);

#endif
