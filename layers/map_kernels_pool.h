// Max pooling of one output row, for the bodies of maps: SUM, NAME and WINS, what beats the winner so far, are theirs.
static void NAME(pool_row)(const FxLayer *l, const SUM *image, SUM *y, uint8_t *place, int oy) {
    size_t c = (size_t)l->in.c;
    for (int ox = 0; ox < l->out.w; ox++, y += c, place += c) {
        FxWindow v = fx_window(l, oy, ox);
        for (int iy = v.y0; iy < v.y1; iy++)
            for (int ix = v.x0; ix < v.x1; ix++) {
                const SUM *restrict x = image + ((size_t)iy * (size_t)l->in.w + (size_t)ix) * c;
                uint8_t here = (uint8_t)((iy - v.top) * l->kernel + ix - v.left);
                if (iy == v.y0 && ix == v.x0) {
                    memcpy(y, x, c * sizeof *y);
                    memset(place, here, c);
                    continue;
                }
                for (size_t i = 0; i < c; i++) {
                    SUM old = y[i];
                    int wins = WINS(x[i], old);
                    place[i] = wins ? here : place[i];
                    y[i] = wins ? x[i] : old;
                }
            }
    }
}
