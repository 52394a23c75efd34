# plot_draw.awk: turns the table of plot_tables.awk into a gnuplot program.
#
# -v kind, width (mm), format=png|svg|pdf; OUTPUT in the environment: the file gnuplot writes. The picture is laid out here in mm,
# from the widths of its texts, so that nothing is cut off: on top the legend and the caption, below panels with axes.

BEGIN {
    FS = "\t"
    # Okabe and Ito without yellow; dashes and points change too, so that colour is never the only difference.
    colours = split("0072B2 D55E00 009E73 CC79A7 E69F00 56B4E9 000000", colour, " ")
    dashes = split("1;(14,4);(5,4);(14,4,3,4);(2,3)", dash, ";")
    points = split("7 5 9 13 11 6 4 8 12 10", point, " ")
    font = width < 120 ? 7.5 : 8  # points
    em = font * 25.4 / 72
    row = 1.4 * em
    gap = 2  # between things, and to the rim
    panels = kind == "stats" ? 0 : 1
}

$1 == "meta" { meta[$2] = $3; next }
$1 == "series" { series = $2; name[$2] = shown($3); next }
$1 == "panel" { panels = $2; panel_name[$2] = $3; next }
$1 == "category" { categories = $2; category[$2] = shown($3); next }
{ p = $2; s = $3 }
$1 == "mean" { see(p, $4, $5); see_low($6, p); see_high(p, $4, $7); means[p, s] = means[p, s] $4 " " $5 " " ($6 == "" ? "NaN NaN" : $6 " " $7) "\n"
               if ($6 != "") spreads[p, s] = banded[s] = 1
               if (!seen_x[$4]++) xs[++places] = $4 }
$1 == "run" { if ($4 != previous) single[p, s] = single[p, s] (single[p, s] == "" ? "" : "\n"); previous = $4
              see(p, $5, $6); single[p, s] = single[p, s] $5 " " $6 "\n"; dots = 1 }
$1 == "died" { see(p, $4, $5); deaths[p, s] = deaths[p, s] $4 " " $5 "\n"; any_died = 1
               if (!seen_x[$4]++) xs[++places] = $4 }

# The largest value counts from epoch 1 on: an untrained net stands above.
function see(p, x, y) {
    if (!(p in lowest) || y < lowest[p]) lowest[p] = y + 0
    if (y > 0 && (!(p in positive) || y < positive[p])) positive[p] = y + 0
    if (!(p in untrained) || y > untrained[p]) untrained[p] = y + 0
    see_high(p, x, y)
    if (!started++ || x < x_low) x_low = x + 0
    if (started == 1 || x > x_high) x_high = x + 0
}
function see_high(p, x, y) {
    if (y != "" && !(kind == "curves" && x + 0 == 0) && (!(p in highest) || y > highest[p])) highest[p] = y + 0
}
function see_low(y, p) {
    if (y == "") return
    if (!(p in floor_of) || y < floor_of[p]) floor_of[p] = y + 0
    if (y > 0 && (!(p in positive) || y < positive[p])) positive[p] = y + 0
}

function text(s) { gsub(/\047/, "\047\047", s); return "\047" s "\047" }
function shown(s) { gsub(/;/, "; ", s); return s }
function max(a, b) { return a > b ? a : b }
function min(a, b) { return a < b ? a : b }

# Width of a text in mm, as DejaVu Sans has it; most other fonts are narrower.
function text_width(s,    i, c, w) {
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        w += index("ijlI.,:;|!\047()[] tf/r-", c) ? 0.37 : index("mwMW%@+=<>~", c) ? 0.9 : c > "~" ? 0.4 : c ~ /[A-Z]/ ? 0.7 : 0.62
    }
    return w * em
}

# Breaks a text into lines[1 ..] of at most `room` mm, at blanks where there are any.
function wrap(s, room, lines,    n, i, cut) {
    while (text_width(s) > room && length(s) > 1) {
        for (i = 1; i < length(s) && text_width(substr(s, 1, i + 1)) <= room; i++) ;
        for (cut = i + 1; cut > 1 && (substr(s, cut, 1) != " " || substr(s, cut + 1, 1) == "%"); cut--) ;
        if (cut > 1) { lines[++n] = substr(s, 1, cut - 1); s = substr(s, cut + 1) }
        else { lines[++n] = substr(s, 1, i); s = substr(s, i + 1) }
    }
    lines[++n] = s
    return n
}

# 1, 2 or 5 times a power of ten, at least `least`.
function nice(least,    e) {
    e = 1
    while (e < least) e *= 10
    while (e / 10 >= least) e /= 10
    if (e / 5 >= least) return e / 5
    return e / 2 >= least ? e / 2 : e
}
function tic_text(v) { return sprintf("%.6g", v < 1e-12 && v > -1e-12 ? 0 : v) }

# Range and tics of panel p's vertical axis: y_from, y_to, y_log, y_tics; widens tic_width.
function vertical_axis(p, height,    step, v, e, m, k, label) {
    top = p in highest && !(kind == "curves" && meta["xlabel"] == "step") ? highest[p] : untrained[p]
    y_log = lowest[p] > 0 && top > 20 * lowest[p]
    y_tics = ""
    if (y_log) {
        logarithmic = 1
        y_from = 0.9 * max(positive[p], lowest[p] / 10)
        y_to = 1.1 * top
        for (e = -12; e <= 12; e++) for (m = 1; m <= 3; m++) {
            v = (m == 1 ? 1 : m == 2 ? 2 : 5) * 10 ^ e
            if (v >= y_from && v <= y_to && (m == 1 || y_to / y_from < 5000)) add_tic(v)
        }
        return
    }
    y_from = p in floor_of ? min(lowest[p], floor_of[p]) : lowest[p]
    y_to = top
    if (meta["zero"]) {
        y_from = lowest[p] < 0 ? 1.04 * y_from : 0
        y_to = top > y_from ? y_from + 1.04 * (top - y_from) : y_from + 1
    } else {
        v = meta["whole"] ? 0.5 : max(0.06 * (y_to - y_from), y_to > y_from ? 0 : y_to == 0 ? 1 : 0.1 * (y_to > 0 ? y_to : -y_to))
        y_from -= v
        y_to += v
    }
    step = nice((y_to - y_from) / max(2, height / (1.8 * row)))
    if (meta["whole"] && step < 1) step = 1
    for (k = ceiling(y_from / step); k * step <= y_to; k++) add_tic(k * step)
}
function ceiling(v,    k) { k = int(v); return k < v ? k + 1 : k }
function add_tic(v) {
    y_tics = y_tics (y_tics == "" ? "" : ", ") tic_text(v)
    tic_width = max(tic_width, text_width(tic_text(v)))
}

# Horizontal axis: x_from, x_to, x_log, x_tics. `span`: mm of the axis.
function horizontal_axis(span,    step, k, j, sorted, last, v) {
    x_tics = ""
    if (categories) { x_from = 0.5; x_to = categories + 0.5; return }
    if (kind != "against") {
        x_from = 0
        x_to = x_high > 0 ? 1.015 * x_high : 1
        step = nice(max(1, x_high / max(2, span / max(9, 1.6 * text_width(tic_text(x_high))))))
        for (k = 0; k * step <= x_to; k++) x_tics = x_tics (k ? ", " : "") tic_text(k * step)
        return
    }
    x_log = x_low > 0 && x_high > 20 * x_low
    v = x_high > x_low ? 0.06 * (x_high - x_low) : 1
    x_from = x_log ? x_low / (x_high / x_low) ^ 0.06 : x_low - v
    x_to = x_log ? x_high * (x_high / x_low) ^ 0.06 : x_high + v
    for (k = 1; k <= places; k++) {
        for (j = k; j > 1 && sorted[j - 1] > xs[k] + 0; j--) sorted[j] = sorted[j - 1]
        sorted[j] = xs[k] + 0
    }
    last = -1000
    for (k = 1; k <= places; k++) {  # the values themselves, but for those that stand too close
        v = span * share(sorted[k])
        if (v - last < text_width(tic_text(sorted[k])) + 1) continue
        x_tics = x_tics (x_tics == "" ? "" : ", ") tic_text(sorted[k])
        last = v
    }
}
function blank_tics(    k, tics) { for (k = 1; k <= categories; k++) tics = tics (k > 1 ? ", " : "") "\"\" " k; return tics }
function share(x) { return x_log ? log(x / x_from) / log(x_to / x_from) : (x - x_from) / (x_to - x_from) }
function at_share(f) { return x_log ? x_from * (x_to / x_from) ^ f : x_from + f * (x_to - x_from) }

function sx(mm) { return sprintf("%.5f", mm / width) }
function sy(mm) { return sprintf("%.5f", 1 - mm / height) }  # from above
function style(s) { return sprintf("lc rgb \"#%s\"", colour[(s - 1) % colours + 1]) }
function dashed(s) { return sprintf("dt %s", dash[(s - 1) % dashes + 1]) }
function pointed(s) { return sprintf("pt %d", point[(s - 1) % points + 1]) }
function put(s, x, y, how) { labels = labels sprintf("set label %s at screen %s, screen %s %s\n", text(s), sx(x), sy(y), how) }

# The legend from `y` mm down: the title's row, the names in columns, the caption. Returns where it ends.
function legend(y, left, room,    s, columns, rows, r, c, lines, n, tall, x, k) {
    sample = kind == "against" && categories ? 4 : 9  # mm
    named = 0
    for (s = 1; s <= series; s++) if (name[s] != "") named++
    if (meta["legend"] != "" && named) { put(meta["legend"], left, y + row / 2, "left"); y += row }
    for (columns = max(named, 1); !fits(columns, room) && columns > 1; columns--) ;
    rows = int((named + columns - 1) / columns)
    for (r = 1; r <= rows; r++) {
        tall = 1
        x = left
        for (c = 1; (s = (c - 1) * rows + r) <= named; c++) {
            legend_sample(s, x, y + row / 2)
            n = wrap(name[s], room - sample - 1, lines)
            for (k = 1; k <= n; k++) put(lines[k], x + sample + 1, y + (k - 0.5) * row, "left")
            tall = max(tall, n)
            x += entry[c] + 2 * gap
        }
        y += tall * row
    }
    if (meta["caption"] != "") {
        n = wrap(meta["caption"], room, lines)
        for (k = 1; k <= n; k++) put(lines[k], left, y + (k - 0.5) * row, "left tc rgb \"#444444\"")
        y += n * row
    }
    return y
}

# Whether the legend fits into so many columns, of widths entry[c].
function fits(columns, room,    rows, c, s, all) {
    rows = int((named + columns - 1) / columns)
    for (c = 1; c <= columns; c++) {
        entry[c] = 0
        for (s = (c - 1) * rows + 1; s <= c * rows && s <= named; s++) entry[c] = max(entry[c], text_width(name[s]) + sample + 1)
        all += entry[c] + (c > 1 ? 2 * gap : 0)
    }
    return all <= room
}
function legend_sample(s, x, y,    half) {
    half = row * 0.38
    if (banded[s] && kind == "curves")
        labels = labels sprintf("set object rectangle from screen %s, screen %s to screen %s, screen %s %s fc rgb \"#%s\"\n",
            sx(x), sy(y + half), sx(x + sample), sy(y - half), tint, colour[(s - 1) % colours + 1])
    if (kind != "against" || !categories)
        labels = labels sprintf("set arrow from screen %s, screen %s to screen %s, screen %s nohead %s %s lw %s\n",
            sx(x), sy(y), sx(x + sample), sy(y), style(s), dashed(s), thick)
    put("", x + sample / 2, y, sprintf("point %s ps %s %s", pointed(s), size, style(s)))
}

# The rows "x y ..." of a data block, moved sideways by `by` of the axis, low ends not below the axis; a band ends at its top, where
# gnuplot would draw a slope to it.
function block(rows, by, band,    line, n, i, f, out) {
    n = split(rows, line, "\n")
    for (i = 1; i < n; i++) {
        if (split(line[i], f, " ") < 2) { out = out "\n"; continue }
        if (f[3] != "" && f[3] != "NaN" && y_log && f[3] < y_from) f[3] = y_from
        if (band && f[3] != "NaN" && f[3] > y_to) continue
        if (band && f[4] != "NaN" && f[4] > y_to) f[4] = y_to
        if (by) f[1] = sprintf("%.6g", at_share(share(f[1]) + by))
        out = out f[1] " " f[2] " " f[3] " " f[4] "\n"
    }
    return out
}
function data(rows, by, band) { print "$d" ++blocks " << END\n" block(rows, by, band) "END"; return "$d" blocks }
function add(what) { plot = plot (plot == "" ? "plot " : ", \\\n    ") what " notitle" }

function draw_curves(p,    s, d, every) {
    every = int((x_high > 0 ? x_high : 1) / 12) + 1
    if (kind == "curves") for (s = 1; s <= series; s++) if ((p, s) in spreads)
        add(sprintf("%s using 1:3:4 with filledcurves %s %s", data(means[p, s], 0, 1), style(s), tint))
    for (s = 1; s <= series; s++) if ((p, s) in single)
        add(sprintf("%s using 1:2 with lines lw %s %s %s", data(single[p, s]), thin, style(s), dashed(s)))
    for (s = 1; s <= series; s++) if ((p, s) in means) {
        d = data(means[p, s])
        every = int(split(means[p, s], rows_of, "\n") / 13) + 1
        add(sprintf("%s using 1:2 with linespoints lw %s %s %s %s pi %d ps %s", d, thick, style(s), dashed(s), pointed(s), every, size))
    }
}

# Lines stand beside each other where they share an x: by how much of the axis.
function dodge_step() { return categories ? min(0.16, 0.5 / series) / categories : min(0.018, 0.12 / series) }
function dodge(s) { return kind == "against" ? (s - (series + 1) / 2) * dodge_step() : 0 }

function draw_points(p,    s, by, beside) {
    beside = series > 1 ? dodge_step() / 3 : 0.012
    for (s = 1; s <= series; s++) {
        by = dodge(s)
        if (!categories && (p, s) in means)
            add(sprintf("%s using 1:2 with lines lw %s %s %s", data(means[p, s], by), thin * 1.3, style(s), dashed(s)))
        if ((p, s) in single)
            add(sprintf("%s using 1:2 with points pt 6 lw %s ps %s %s", data(single[p, s], by + beside), thin, size * 0.65, style(s)))
        if ((p, s) in spreads)
            add(sprintf("%s using 1:2:3:4 with yerrorbars pt 0 lw %s %s", data(means[p, s], by), thick * 0.75, style(s)))
        if ((p, s) in means)
            add(sprintf("%s using 1:2 with points %s ps %s %s", data(means[p, s], by), pointed(s), size * 1.2, style(s)))
    }
}

function draw_deaths(p,    s) {
    for (s = 1; s <= series; s++) if ((p, s) in deaths)
        add(sprintf("%s using 1:2 with points pt 2 lw %s ps %s %s", data(deaths[p, s], dodge(s)), thick * 1.3, size * 2, style(s)))
}

# A PDF page is cut to whole points of 1/72 inch: rounded instead.
function whole_points(mm) { return int(mm / 25.4 * 72 + 0.5) + 0.1 }

function terminal() {
    if (format == "png") return sprintf("pngcairo size %d,%d font \"Sans,%s\" fontscale %.5f linewidth %.4f pointscale %.4f",
        width / 25.4 * 300 + 0.5, height / 25.4 * 300 + 0.5, font, 300 / 96, 300 / 72, 300 / 72 * 0.6)  # its points are those of 96 an inch
    if (format == "pdf") return sprintf("pdfcairo size %.4fcm,%.4fcm font \"Sans,%s\" fontscale 0.75 linewidth 2 pointscale 0.6",
        whole_points(width) / 720 * 25.4, whole_points(height) / 720 * 25.4, font)
    return sprintf("svg size %d,%d font \"sans-serif,%s\" linewidth 1 background \"white\"", width / 25.4 * 72 + 0.5, height / 25.4 * 72 + 0.5, font)
}

# Where everything stands, in mm: y (where the panels begin), left, span, tall, between, below, name_row, bottom, height.
function lay_out(    p, k, widest) {
    height = width  # until it is known
    across = panels == 1 ? 1 : width < 120 ? 2 : panels == 4 ? 2 : 3
    if (across > panels) across = panels
    down = int((panels + across - 1) / across)
    for (p = 1; p <= panels; p++) vertical_axis(p, 0.6 * width / across)  # for tic_width
    left = gap + row + tic_width + 3.2
    between = across > 1 ? tic_width + 2 * gap + 2 : 0
    span = (width - left - gap - 1 - (across - 1) * between) / across
    tall = panels == 1 ? min(0.55 * width, max(45, 0.5 * width)) : max(24, 0.62 * span)
    horizontal_axis(span)
    below = row + gap + 0.8
    for (k = 1; k <= categories; k++) widest = max(widest, text_width(category[k]))
    slanted = categories && widest > span / categories - 1.5
    if (categories) below = slanted ? widest * 0.5 + row : row + 2
    if (any_died) meta["caption"] = meta["caption"] (meta["caption"] == "" ? "" : "; ") \
        "cross: a run that died" (kind == "against" ? ", not in the mean" : " there")
    y = legend(gap, left, width - left - gap) + gap
    name_row = panels > 1 || panel_name[1] != "" ? row + 0.5 : 0
    bottom = y + down * (tall + name_row) + (down - 1) * gap
    height = bottom + below + row + 2 * gap
    labels = ""
    legend(gap, left, width - left - gap)  # again, now that the height is known
    put(meta["xlabel"] (x_log ? ", logarithmic" : ""), left + (width - left - gap) / 2, bottom + below + row / 2 + (panels > 1 ? 0.5 : 0), "center")
    put(meta["ylabel"] (logarithmic ? ", logarithmic" : ""), gap + row / 2, (y + name_row + bottom) / 2, "rotate center")
}

function draw_panel(p,    x0, y0, k) {
    vertical_axis(p, tall)
    x0 = left + (p - 1) % across * (span + between)
    y0 = y + int((p - 1) / across) * (tall + name_row + gap) + name_row
    printf "set lmargin at screen %s\nset rmargin at screen %s\nset tmargin at screen %s\nset bmargin at screen %s\n",
        sx(x0), sx(x0 + span), sy(y0), sy(y0 + tall)
    if (panel_name[p] != "") put(panel_name[p], x0, y0 - name_row / 2, "left")
    for (k = 1; k <= categories; k++) {
        if (slanted) put(category[k], x0 + span * share(k) + 0.4, y0 + tall + 1.5, "right rotate by 30")
        else put(category[k], x0 + span * share(k), y0 + tall + 1.2 + row / 2, "center")
    }
    printf "%s", labels
    print "unset logscale" (x_log ? "\nset logscale x" : "") (y_log ? "\nset logscale y" : "")
    printf "set xrange [%.8g:%.8g]\nset yrange [%.8g:%.8g]\n", x_from, x_to, y_from, y_to
    print "set ytics (" y_tics ")"
    if (categories) print "set xtics (" blank_tics() ")"
    else print "set xtics (" x_tics ")\nset format x \"" (p + across > panels ? "%g" : "") "\""
    plot = ""
    if (kind == "against") draw_points(p)
    else draw_curves(p)
    draw_deaths(p)
    print plot
    labels = ""
}

END {
    thick = 1.1; thin = 0.55; size = format == "svg" ? 0.55 : 0.7
    tint = "fs transparent solid 0.18 noborder"
    if (!panels) exit 1
    lay_out()
    print "set encoding utf8\nset decimalsign \".\"\nset terminal " terminal() " noenhanced"
    print "set output " text(ENVIRON["OUTPUT"])
    print "unset key\nset border 3 lc rgb \"#555555\" lw 0.6\nset grid lc rgb \"#dddddd\" lt 1 lw 0.5"
    print "set tics nomirror out scale 0.5 tc rgb \"black\"\nset bars 0.6"
    if (panels > 1) print "set multiplot"
    for (p = 1; p <= panels; p++) {
        draw_panel(p)
        if (panels > 1) print "unset label\nunset arrow\nunset object"
    }
}
