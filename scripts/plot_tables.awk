# plot_tables.awk: makes plot.sh's table of what is to be drawn, and the CSV file of the same numbers; after plot_read.awk.
#
# -v kind=curves|against|stats; in the environment LIST (a file, a run a line), CSV and what the options say. The table's lines,
# tab-separated, are read by plot_draw.awk:
#   meta KEY VALUE | series S LABEL | panel P NAME | category X LABEL
#   mean P S X MEAN LOW HIGH | run P S RUN X Y (one run's own) | died P S X Y
# P, S, RUN are numbered from 1; an empty LOW: no spread.

function meta(key, value) { print "meta", key, value }

function axis_name(metric) {
    if (metric ~ /_error$/) return spaced(metric) " (%)"
    if (metric == "time_s") return "time (s)"
    if (metric == "images_per_s") return "images per second"
    return spaced(metric)
}
function spaced(s) { gsub(/_/, " ", s); return s }

# mean, low, high of v[1 .. n]; low and high are empty where there is no spread.
function summarise(v, n,    i, sum, squares) {
    sum = squares = 0
    low = high = v[1]
    for (i = 1; i <= n; i++) {
        sum += v[i]
        if (v[i] < low) low = v[i]
        if (v[i] > high) high = v[i]
    }
    mean = sum / n
    if (n == 1 || spread == "none" || spread == "runs") { low = high = ""; return }
    if (spread == "minmax") return
    for (i = 1; i <= n; i++) squares += (v[i] - mean) ^ 2
    squares = sqrt(squares / (n - 1))
    if (spread == "se") squares /= sqrt(n)
    low = mean - squares
    high = mean + squares
}
function cell_of(v) { return v == "" ? "" : sprintf("%.10g", v) }

# "mean of 3 runs, band: ..." of groups with fewest to most runs; `shape` is what shows the spread.
function caption(fewest, most, shape,    text) {
    if (most < 2) return ""
    text = "mean of " (fewest < most ? fewest " to " most : most) " runs"
    if (spread == "minmax") return text ", " shape ": lowest to highest run"
    if (spread == "sd") return text ", " shape ": one standard deviation up and down"
    if (spread == "se") return text ", " shape ": one standard error of the mean up and down"
    if (spread == "runs") return text (shape == "band" ? " (thick) and each run (thin)" : ", dots: the runs")
    return text ", spread not shown"
}

# Groups of runs by label: groups, group_label[g], group_size[g], group_run[g, j]. In the order given, or by number where
# every label stands for one and no two for the same.
function make_groups(    i, j, g, number, distinct, order, k, saved) {
    for (i = 1; i <= runs; i++) if (values[i]) {
        if (!(label[i] in group_at)) {
            group_at[label[i]] = ++groups
            group_label[groups] = label[i]
        }
        g = group_at[label[i]]
        group_run[g, ++group_size[g]] = i
    }
    for (g = 1; g <= groups; g++) {
        number[g] = number_of(group_label[g])
        if (number[g] == "" || number[g] in distinct) return identity_order()
        distinct[number[g]]
        order[g] = g
        for (k = g; k > 1 && number[order[k - 1]] > number[order[k]]; k--) {
            saved = order[k]; order[k] = order[k - 1]; order[k - 1] = saved
        }
    }
    for (g = 1; g <= groups; g++) group_order[g] = order[g]
}
function identity_order(    g) { for (g = 1; g <= groups; g++) group_order[g] = g }

# Says so where runs of one label differ in more than the seed.
function warn_of_mixture(g, without, without2,    j, first, other) {
    first = setting_of(group_run[g, 1], without, without2)
    for (j = 2; j <= group_size[g]; j++) {
        other = setting_of(group_run[g, j], without, without2)
        if (other != first) {
            note("\"" group_label[g] "\" puts runs together that differ in more than the seed (" path[group_run[g, 1]] \
                " and " path[group_run[g, j]] ")")
            return 1
        }
    }
    return 0
}

# Says so where a seed stands for two runs of a label, at one place of `against`.
function warn_of_twins(g,    j, i, who, seen) {
    for (j = 1; j <= group_size[g]; j++) {
        i = group_run[g, j]
        if (!((i, "seed") in cell)) continue
        who = cell[i, "seed"] " " place[i]
        if (who in seen) {
            note("\"" group_label[g] "\": seed " cell[i, "seed"] " counts twice (" path[seen[who]] " and " path[i] ")")
            return
        }
        seen[who] = i
    }
}

# Without --by: by setting if some runs differ in their seed alone, else by name.
function default_by(    i, who, seeds) {
    for (i = 1; i <= runs; i++) if (values[i]) {
        if (!((i, "overrides") in cell) || !((i, "seed") in cell)) return "name"
        who = setting_of(i)
        if ((who, cell[i, "seed"]) in seeds) return "name"
        seeds[who, cell[i, "seed"]]
        if (seeds[who]++) shared = 1
    }
    return shared ? "overrides" : "name"
}

function label_runs(key,    i) {
    if (by == "overrides") label_by_setting(key)
    for (i = 1; i <= runs; i++) if (values[i] && by != "overrides") label[i] = by == "name" ? name[i] : value_of(i, by)
    if (by != "overrides" && by != "name" && by != "run_id") legend_title = by
    make_groups()
    for (i = 1; i <= groups; i++) if (by == "overrides" || !warn_of_mixture(i, by, key)) warn_of_twins(i)
}

function read_runs(    i, any) {
    OFS = "\t"
    scale = metric ~ /_error$/ ? 100 : 1
    unit = scale == 100 ? " %" : ""
    metric_name = scale == 100 ? metric "_percent" : metric
    read_list(list)
    for (i = 1; i <= runs; i++) {
        read_log(i, metric, scale)
        any += values[i]
    }
    if (!any) fail("nothing in column " metric " of " (runs > 1 ? "any log" : "the log of " path[1]))
    place_rows()
    for (i = 1; i <= runs; i++) if (values[i] && x[i, last_epoch(i)] > longest) longest = x[i, last_epoch(i)]
    for (i = 1; i <= runs; i++) {
        if (!values[i]) note(path[i] ": nothing in column " metric " of its log; left out")
        if (died[i]) note(path[i] ": " status[i] " at " x_name " " x[i, rows[i]])
    }
    meta("ylabel", axis_name(metric))
    meta("zero", 1)
}

# Epochs that all runs of group g have a value at: `common` of them in at[], ascending.
function common_epochs(g, at, value,    j, i, r, count) {
    for (j = 1; j <= group_size[g]; j++) {
        i = group_run[g, j]
        for (r = 1; r <= rows[i]; r++) if (y[i, r] != "") { count[x[i, r]]++; value[j, x[i, r]] = y[i, r] }
    }
    i = group_run[g, 1]
    common = 0
    for (r = 1; r <= rows[i]; r++) if (y[i, r] != "" && count[x[i, r]] == group_size[g]) at[++common] = x[i, r]
}

function last_epoch(i,    r) { for (r = rows[i]; r > 0; r--) if (y[i, r] != "") return r; return 0 }

function curve(g, s,    at, value, j, k, i, r, v, n, title, single) {
    n = group_size[g]
    common_epochs(g, at, value)
    single = n == 1 ? quoted(path[group_run[g, 1]]) : ""
    for (k = 1; k <= common; k++) {
        for (j = 1; j <= n; j++) v[j] = value[j, at[k]]
        summarise(v, n)
        print "mean", 1, s, at[k], cell_of(mean), cell_of(low), cell_of(high)
        print quoted(group_label[g]) "," single "," at[k] "," metric_name "," cell_of(mean) "," cell_of(low) "," cell_of(high) "," n >csv
    }
    if (!common) note("\"" group_label[g] "\": no epoch that all its runs have; no mean")
    for (j = 1; j <= n; j++) {
        i = group_run[g, j]
        r = last_epoch(i)
        if (common && x[i, r] > at[common]) shorter = 1
        if (died[i]) print "died", 1, s, x[i, r], cell_of(y[i, r])
        if (spread != "runs" || n == 1) continue
        for (r = 1; r <= rows[i]; r++) if (y[i, r] != "") {
            print "run", 1, s, i, x[i, r], cell_of(y[i, r])
            print quoted(group_label[g]) "," quoted(path[i]) "," x[i, r] "," metric_name "," cell_of(y[i, r]) ",,,1" >csv
        }
    }
    if (shorter && common) note("\"" group_label[g] "\": its runs end at different " x_name "s; the mean ends at " x_name " " at[common])
    shorter = 0
    title = common ? sprintf("ends at %.3g%s", mean, unit) (at[common] < longest ? sprintf(", %s %.3g", x_name, at[common]) : "") : "no mean"
    if (n > 1 && fewest < most) title = n " runs, " title
    print "series", s, group_label[g] " (" title ")"
}

function curves(    g, s, i) {
    read_runs()
    if (by == "") by = default_by()
    label_runs("")
    if (groups == 1) legend_title = ""
    print "setting,run," x_name ",metric,mean,low,high,n" >csv
    count_groups()
    for (s = 1; s <= groups; s++) curve(group_order[s], s)
    meta("xlabel", x_name)
    meta("legend", legend_title)
    meta("caption", caption(fewest, most, "band"))
}
function count_groups(    g) {
    for (g = 1; g <= groups; g++) {
        if (!fewest || group_size[g] < fewest) fewest = group_size[g]
        if (group_size[g] > most) most = group_size[g]
    }
}

# The value at a run's end; empty if the run is not over, or died without one.
function final_value(i) {
    if (status[i] ~ /^(running|stopped)$/) { missing[i] = status[i] ", not over"; return "" }
    if (died[i] && y[i, rows[i]] == "") missing[i] = "no " metric " when it died"
    return died[i] ? y[i, rows[i]] : y[i, last_epoch(i)]
}

# Places of runs on the axis of `key`: place[i]; a number where every value is one, else a category.
function place_runs(key,    i, text, number, owner, numeric, at) {
    numeric = 1
    for (i = 1; i <= runs; i++) if (values[i]) {
        text = text_at[i] = value_of(i, key)
        number = number_of(text)
        if (number == "") numeric = 0
        else if (number in owner && owner[number] != text) {
            if (numeric) note("\"" owner[number] "\" and \"" text "\" are both " number ": categories instead of numbers")
            numeric = 0
        }
        owner[number] = text
        place[i] = number
    }
    for (i = 1; i <= runs; i++) if (!numeric && values[i]) {
        if (!(text_at[i] in at)) {
            at[text_at[i]] = ++categories
            print "category", categories, text_at[i]
        }
        place[i] = at[text_at[i]]
    }
    return numeric
}

# The runs of group g at place p: the mean of those that did not die, and each by itself; n is 0 for one that died.
function point(g, s, p,    j, i, v, n, start) {
    n = 0
    for (j = 1; j <= group_size[g]; j++) {
        i = group_run[g, j]
        if (place[i] != p) continue
        start = text_at[i]
        if (died[i]) continue
        v[++n] = y_end[i]
        one = path[i]
    }
    start = quoted(start) "," p "," metric_name ","
    if (n) {
        summarise(v, n)
        if (!fewest || n < fewest) fewest = n
        if (n > most) most = n
        print "mean", 1, s, p, cell_of(mean), cell_of(low), cell_of(high)
        print quoted(group_label[g]) "," (n == 1 ? quoted(one) : "") "," start cell_of(mean) "," cell_of(low) "," cell_of(high) "," n >csv
    }
    for (j = 1; j <= group_size[g]; j++) {
        i = group_run[g, j]
        if (place[i] != p || (n == 1 && !died[i])) continue
        if (died[i]) print "died", 1, s, p, cell_of(y_end[i])
        else print "run", 1, s, i, p, cell_of(y_end[i])
        print quoted(group_label[g]) "," quoted(path[i]) "," start cell_of(y_end[i]) ",,," (died[i] ? 0 : 1) >csv
    }
}

function against(    i, j, k, s, p, numeric, places, distinct, sorted) {
    read_runs()
    for (i = 1; i <= runs; i++) if (values[i]) {
        y_end[i] = final_value(i)
        if (y_end[i] == "") values[i] = 0
        any += values[i]
    }
    for (i = 1; i <= runs; i++) if (i in missing) {
        if (!any) fail("no run has a value at its end; " path[i] ": " missing[i])
        note(path[i] ": " missing[i] "; left out")
    }
    numeric = place_runs(key)
    if (by == "" && has_overrides()) by = "overrides"
    if (by == "") for (i = 1; i <= runs; i++) label[i] = "all"
    if (by == "") make_groups()
    else label_runs(key)
    print "setting,run,value,x,metric,mean,low,high,n" >csv
    for (i = 1; i <= runs; i++) if (values[i] && !(place[i] in distinct)) {
        distinct[place[i]]
        places++
        for (k = places; k > 1 && sorted[k - 1] > place[i]; k--) sorted[k] = sorted[k - 1]
        sorted[k] = place[i]
    }
    for (s = 1; s <= groups; s++) {
        for (k = 1; k <= places; k++) point(group_order[s], s, sorted[k])
        print "series", s, (groups == 1 ? "" : group_label[group_order[s]])
    }
    meta("xlabel", key (numeric && key ~ /\.grid$/ ? ", bits" : ""))
    meta("legend", groups == 1 ? "" : legend_title)
    meta("caption", caption(fewest, most, "bars") (most > 1 && spread != "runs" ? ", dots: the runs" : ""))
}
function has_overrides(    i) {
    for (i = 1; i <= runs; i++) if (values[i] && !((i, "overrides") in cell)) return 0
    return 1
}

# stats.csv: a panel a site, a line a layer.
function stats(    file, line, f, n, c, at, header, number, k, s, v, whole, kept) {
    OFS = "\t"
    read_list(list)
    file = file_of(directory(1), "stats.csv")
    while ((getline line <file) > 0) {
        sub(/\r$/, "", line)
        n = split(line, f, ",")
        if (++number == 1) {
            for (c = 1; c <= n; c++) at[f[c]] = c
            header = line
            if (!(column in at)) fail(path[1] ": no column \"" column "\" in its stats.csv; there are: " header)
            whole = n
            continue
        }
        if (n < whole) { note(path[1] ": line " number " of its stats.csv is cut off; left out"); continue }
        for (c = 1; c <= n; c++) if (is_number(f[c])) measured[c] = 1
        k++
        row_site[k] = f[at["site"]]; row_layer[k] = f[at["layer"]]; row_epoch[k] = f[at["epoch"]]; row_step[k] = f[at["step"]]
        v = f[at[column]]
        if (v != "" && column ~ percents) v = f[at["n"]] > 0 ? 100 * v / f[at["n"]] : ""
        if (v != "" && !is_number(v)) fail(path[1] ": line " number " of its stats.csv: " column " \"" v "\" is no number")
        row_value[k] = v
        if ((row_site[k], row_layer[k], row_epoch[k]) in taken) by_step = 1
        taken[row_site[k], row_layer[k], row_epoch[k]]
        seen_site[row_site[k]]
    }
    if (wanted != "" && !(wanted in seen_site)) fail(path[1] ": no site \"" wanted "\" in its stats.csv")
    rows_read = k
    pick_panels()
    if (!panels) {
        for (c = at["rounding"] + 1; c <= whole; c++) if (measured[c]) kept = kept " " header_name(header, c)
        fail(path[1] ": nothing in column " column (wanted == "" ? "" : " of site " wanted) "; there is something in:" kept)
    }
    print "run,site,layer," (by_step ? "step" : "epoch") "," column (column ~ percents ? "_percent" : "") >csv
    for (k = 1; k <= rows_read; k++) {
        if (row_value[k] == "" || !(row_site[k] in panel_of)) continue
        if (!(row_layer[k] in layer_at)) {
            layer_at[row_layer[k]] = ++layers
            print "series", layers, row_layer[k]
        }
        s = layer_at[row_layer[k]]
        c = by_step ? row_step[k] : row_epoch[k]
        print "mean", panel_of[row_site[k]], s, c, cell_of(row_value[k]), "", ""
        print quoted(path[1]) "," row_site[k] "," row_layer[k] "," c "," cell_of(row_value[k]) >csv
    }
    meta("xlabel", by_step ? "step" : "epoch")
    meta("ylabel", stats_axis(column))
    meta("zero", column ~ percents ? 1 : 0)
    meta("whole", column ~ /^(exponent|acc_bits)$/ ? 1 : 0)
    meta("legend", "layer")
}
function header_name(header, c,    f) { split(header, f, ","); return f[c] }

# At most six sites: those whose lines move come first, the others fill up; drawn in the file's order.
function pick_panels(    k, i, n, s, order, moves, last, chosen, round, out) {
    for (k = 1; k <= rows_read; k++) {
        s = row_site[k]
        if (row_value[k] == "" || (wanted != "" && s != wanted)) continue
        if (!(s in moves)) { moves[s] = 0; order[++n] = s }
        if ((s, row_layer[k]) in last && last[s, row_layer[k]] != row_value[k]) moves[s] = 1
        last[s, row_layer[k]] = row_value[k]
    }
    for (round = 1; round >= 0; round--)
        for (i = 1; i <= n && chosen_count < 6; i++) if (moves[order[i]] == round) { chosen[order[i]]; chosen_count++ }
    for (i = 1; i <= n; i++) {
        if (order[i] in chosen) { panel_of[order[i]] = ++panels; print "panel", panels, order[i] }
        else out = out " " order[i]
    }
    if (out != "") note("six panels at most; not drawn (--site NAME draws one):" out)
}

function stats_axis(column) {
    if (column ~ percents) return spaced(column) " (% of values)"
    if (column == "exponent") return "exponent (power of 2)"
    if (column == "sqnr_db") return "SQNR (dB)"
    if (column == "acc_bits") return "bits of the largest sum"
    if (column == "max_abs") return "largest magnitude"
    if (column == "crest") return "crest (largest / root mean square)"
    if (column == "floored") return "channels whose floor acted, over all steps"
    if (column == "bias_ulp") return "bias (steps of the grid)"
    return spaced(column)
}

BEGIN {
    list = ENVIRON["LIST"]; csv = ENVIRON["CSV"]; key = ENVIRON["KEY"]; by = ENVIRON["BY"]; metric = ENVIRON["METRIC"]
    spread = ENVIRON["SPREAD"]; column = ENVIRON["COLUMN"]; wanted = ENVIRON["SITE"]
    percents = "^(saturated|underflowed|zeros_in|zeros_out|nonfinite|at_limit|masked|changed)$"
    if (kind == "curves") curves()
    else if (kind == "against") against()
    else stats()
}
