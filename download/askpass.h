/* What git runs when it wants a user's name or password: this program again, which finds them on
 * the descriptor that git inherited. */
#ifndef SSMD_DOWNLOAD_ASKPASS_H
#define SSMD_DOWNLOAD_ASKPASS_H

#define ASKPASS_VARIABLE "SSMD_DOWNLOAD_ASKPASS" /* the descriptor's number */

/* Print what `prompt` asks for. Returns the exit status. */
int askpass(const char *descriptor, const char *prompt);

#endif
