/* SET: the identity arrives field by field, and is written as identity block v1 when it is whole. */
#ifndef PROVISION_H
#define PROVISION_H

/* Takes "<field>=<value>" or "commit". Returns NULL, or why it is refused: a sentence without the value. */
const char *provision_set(const char *argument);

#endif
