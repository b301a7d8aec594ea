/* server/web/assets.h - the built page, inside the binary (server/web/assets.c, made from page/dist). */
#ifndef SERVER_WEB_ASSETS_H
#define SERVER_WEB_ASSETS_H

#include <stddef.h>

struct web_asset {
    const char *path, *type;
    const unsigned char *data, *end, *gz, *gz_end;
};
extern const struct web_asset web_assets[];
extern const size_t web_assets_count;

#endif
