/* Nobody's identity: what the committed image is built with, and what a developer builds with. */
#ifndef BOARD_IDENTITY_H
#define BOARD_IDENTITY_H

#define BOARD_DEV_EUI {0}
#define BOARD_JOIN_EUI {0}
#define BOARD_APP_KEY {0}
#define BOARD_NWK_KEY {0}
#define BOARD_SERIAL ""
#define BOARD_REGION 255
#define BOARD_KEY_GENERATION 0
#define BOARD_LORAWAN_1_1 false
#define BOARD_LOT_CRC 0u

#endif
