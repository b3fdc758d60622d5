/* The device's files. After a power cut there is the old one or the new one, never half of one.
 * What cannot be done ends the run with LOCAL. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>

#define ROOT "root-ca.pem"   /* the pinned root */
#define KEY "key.pem"        /* a key for which a certificate is asked */
#define NEXT "next.pem"      /* when to renew, key, certificate, chain: answered, not yet proven */
#define DEVICE "device.pem"  /* the same, proven: what the device uses */

/* Makes the directory if need be; every other function works in it. */
void store_open(const char *directory);

bool store_has(const char *name);

/* Reads a file as text, with a NUL after it; returns the size with the NUL, as mbedTLS wants it. */
size_t store_read(const char *name, char *buffer, size_t size);

/* The same for the first line of a file elsewhere, without its end. */
void read_line(const char *path, char *buffer, size_t size);

void store_keep(const char *name, const char *text);
void store_rename(const char *from, const char *to);
void store_remove(const char *name);

#endif
