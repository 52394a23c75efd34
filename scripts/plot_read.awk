# plot_read.awk: what plot.sh reads of runs: log.csv, recipe.ini, numbers in formats' names, labels of settings.
#
# Runs are numbered from 1 in the order given. For run i: path[i], name[i]; rows[i], x[i, r] and y[i, r] (empty: no value),
# status[i], and cells of the last row as cell[i, COLUMN].

function fail(message, code) {
    note(length(message) > 1500 ? substr(message, 1, 1500) " ..." : message)
    exit code ? code : 1
}

function note(message) {
    gsub(/[\001-\037\177]/, "?", message)
    print "plot: " message >"/dev/stderr"
}

function is_number(s) { return s ~ /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/ }

# The cells of log.csv hold no space, comma or semicolon of their own: they stand as %20, %2C, %3B, the percent sign as %25.
function decoded(s) {
    gsub(/%20/, " ", s); gsub(/%2C/, ",", s); gsub(/%3B/, ";", s); gsub(/%25/, "%", s)
    return s
}

function quoted(s) {
    if (s ~ /[",]/) { gsub(/"/, "\"\"", s); s = "\"" s "\"" }
    return s
}

# path[] and name[] of the runs listed in a file, a line each: the directories' names, or the whole paths where two are equal.
function read_list(file,    line, i, given, seen, same) {
    while ((getline line <file) > 0) {
        if (given[line]++) note(line ": given twice")
        else path[++runs] = line
    }
    for (i = 1; i <= runs; i++) {
        name[i] = directory(i)
        sub(/.*\//, "", name[i])
        if (seen[name[i]]++) same = 1
    }
    for (i = 1; same && i <= runs; i++) name[i] = path[i]
}

function directory(i,    d) {
    d = path[i]
    if (d !~ /\.csv$/) return d
    return d ~ /\// ? substr(d, 1, length(d) - length(base_of(d)) - 1) : "."
}
function base_of(d) { sub(/.*\//, "", d); return d }

function file_of(d, f) { return d ~ /\.csv$/ && f == "log.csv" ? d : d "/" f }

# Reads log.csv of run i, the values of `metric` times `scale`.
function read_log(i, metric, scale,    file, line, header, n, c, at, f, value, number) {
    file = file_of(path[i], "log.csv")
    while ((getline line <file) > 0) {
        number++
        sub(/\r$/, "", line)
        n = split(line, f, ",")
        if (number == 1) {
            for (c = 1; c <= n; c++) at[f[c]] = c
            header = line
            columns[i] = n
            if (!("epoch" in at)) fail(path[i] ": no column \"epoch\" in its log; there are: " header)
            if (!(metric in at)) fail(path[i] ": no column \"" metric "\" in its log; there are: " header)
            continue
        }
        if (n < columns[i]) { note(path[i] ": line " number " of its log is cut off; left out"); continue }
        value = f[at[metric]]
        if (!is_number(f[at["epoch"]])) fail(path[i] ": line " number " of its log: epoch \"" f[at["epoch"]] "\" is no number")
        if (value ~ /^[-+]?([nN][aA][nN]|[iI][nN][fF])/) value = ""
        if (value != "" && !is_number(value)) fail(path[i] ": line " number " of its log: " metric " \"" value "\" is no number")
        x[i, ++rows[i]] = f[at["epoch"]] + 0
        if ("step" in at) step[i, rows[i]] = f[at["step"]] + 0
        if ("step" in at && x[i, rows[i]] > 0 && !epoch_steps[i]) epoch_steps[i] = step[i, rows[i]] / x[i, rows[i]]
        y[i, rows[i]] = value == "" ? "" : scale * value
        if (value != "") values[i]++
        for (c = 1; c <= columns[i]; c++) last[c] = f[c]
    }
    close(file)
    if (!rows[i]) return
    for (c in at) cell[i, c] = last[at[c]]
    status[i] = (i, "status") in cell ? cell[i, "status"] : "done"
    died[i] = status[i] ~ /^(dead|diverged|stalled)$/
}

# x is the epoch; a row inside an epoch (the end of a run that stopped there) lies between by its step. Where no run came to
# the end of an epoch all stand by their step; x_name says which.
function place_rows(    i, r, any) {
    x_name = "step"
    for (i = 1; i <= runs; i++) {
        if (epoch_steps[i]) any = epoch_steps[i]
        for (r = 1; r <= rows[i]; r++) if (x[i, r] > 0 || !((i, r) in step)) x_name = "epoch"
    }
    for (i = 1; i <= runs; i++) for (r = 1; r <= rows[i]; r++) {
        if (x_name == "step") x[i, r] = step[i, r]
        else if (r > 1 && x[i, r] <= x[i, r - 1]) {
            if (epoch_steps[i] || any) x[i, r] = sprintf("%.4f", step[i, r] / (epoch_steps[i] ? epoch_steps[i] : any)) + 0
            else y[i, r - 1] = ""  # it replaces the row before
        }
    }
}

# The run's recipe.ini as ini[i, "section.key"].
function read_recipe(i,    file, line, section, p, k) {
    if (recipe_read[i]++) return
    file = file_of(directory(i), "recipe.ini")
    while ((getline line <file) > 0) {
        sub(/\r$/, "", line)
        if (line ~ /^\[.*\]/) section = substr(line, 2, index(line, "]") - 2)
        else if ((p = index(line, "=")) && line !~ /^[#;]/) {
            k = trimmed(substr(line, 1, p - 1))
            ini[i, section "." k] = trimmed(substr(line, p + 1))
            if (section ~ /^layer\./) layer_keys[i] = layer_keys[i] " " k
        }
    }
    close(file)
}

function trimmed(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }

# A part of a quantiser GRID[@SCALE][/ROUNDING][/OVERFLOW].
function part_of(q, part,    f, n, p, j) {
    n = split(q, f, "/")
    p = index(f[1], "@")
    if (part == "grid") return p ? substr(f[1], 1, p - 1) : f[1]
    if (part == "scale") return p ? substr(f[1], p + 1) : "none"
    for (j = 2; j <= n; j++)
        if ((f[j] ~ /^(saturate|propagate|inf|wrap)$/) == (part == "overflow")) return f[j]
    return "none"
}

# recipe.ini's value of a key "section.key" of run i; SITE.grid and the like also out of SITE.q. 1 if it is there, in `found`.
function in_recipe(i, key,    site, part) {
    if ((i, key) in ini) { found = ini[i, key]; return 1 }
    if (match(key, /\.(grid|scale|rounding|overflow)$/)) {
        site = substr(key, 1, RSTART - 1)
        part = substr(key, RSTART + 1)
        if ((i, site ".q") in ini) { found = part_of(ini[i, site ".q"], part); return 1 }
    }
    if (key ~ /\.q$/ && (i, substr(key, 1, length(key) - 1) "grid") in ini) {
        site = substr(key, 1, length(key) - 1)
        found = ini[i, site "grid"] "@" ini[i, site "scale"] "/" ini[i, site "rounding"] "/" ini[i, site "overflow"]
        return 1
    }
    return 0
}

# A column of log.csv (its last row), or a key of recipe.ini; grids in one spelling (fixed8 is fixed8f7).
function value_of(i, key,    v, w) {
    v = raw_value(i, key)
    if (!match(v, /^u?fixed[0-9]+/) || substr(v, RLENGTH + 1) !~ /^t?($|@|\/)/) return v
    w = substr(v, 1, RLENGTH)
    sub(/^u?fixed/, "", w)
    return substr(v, 1, RLENGTH) "f" (v ~ /^u/ ? w : w - 1) substr(v, RLENGTH + 1)
}
function raw_value(i, key,    general) {
    if ((i, key) in cell) return cell[i, key] == "" ? "-" : decoded(cell[i, key])
    read_recipe(i)
    if (in_recipe(i, key)) return found
    general = key
    if (sub(/^layer\.[^.]*\./, "", general)) {
        if (index(layer_keys[i] " ", " " general " ") || index(layer_keys[i] " ", " " general_q(general) " "))
            fail(path[i] ": " key " is not in its recipe.ini, where other layers have their own " general)
        if (in_recipe(i, general)) return found
    }
    if (sub(/^accumulator\.(forward|error|gradient)\./, "accumulator.", general) && in_recipe(i, general)) return found
    fail(path[i] ": \"" key "\" is neither a column of its log.csv nor a key of its recipe.ini (section.key)")
}
function general_q(key) { sub(/\.[a-z]+$/, ".q", key); return key }

# The number that a value stands for: itself, the bits of a grid (fixed8f6: 8, e5m2: 8), the first parameter of a word
# (stochastic:8:below: 8); empty if there is none.
function number_of(t,    f) {
    if (is_number(t)) return t + 0
    if (t ~ /^-?[0-9.]+\/[0-9.]+$/ && split(t, f, "/") && f[2] != 0) return f[1] / f[2]
    if (t ~ / /) return ""  # a schedule
    sub(/[@\/].*/, "", t)
    if (t in named_bits) return named_bits[t]
    if (t ~ /^u?fixed[0-9]+(f-?[0-9]+)?t?$/) { sub(/^u?fixed/, "", t); return t + 0 }
    if (t ~ /^(float:)?e[0-9]+m[0-9]+/) { sub(/^(float:)?e/, "", t); split(t, f, "m"); return 1 + f[1] + f[2] }
    if (t ~ /^binary[0-9]+p/) return substr(t, 7) + 0
    if (t ~ /^(log2|logsqrt2|inq):b[0-9]+/) { sub(/^[^:]*:b/, "", t); return t + 0 }
    if (t ~ /^block[0-9]+/) return substr(t, 6) + 0
    if (t ~ /^[a-z-]+:/ && split(t, f, ":") && is_number(f[2])) return f[2] + 0
    return ""
}

# What run i was, but for its seed and for the keys `without` and `without2`: parts[i, 1 .. part_count[i]], and all in one as
# its result. Overrides stand in the order of the alphabet.
function setting_of(i, without, without2,    f, n, j, k, p, key, value, part, all) {
    delete f
    n = 0
    if ((i, "overrides") in cell && cell[i, "overrides"] != "") n = split(cell[i, "overrides"], f, ";")
    for (j = 2; j <= n; j++) {
        p = f[j]
        for (k = j - 1; k > 0 && f[k] > p; k--) f[k + 1] = f[k]
        f[k + 1] = p
    }
    part_count[i] = 0
    key_part(i, "recipe", without, without2); key_part(i, "net", without, without2); key_part(i, "data", without, without2)
    key_part(i, "results_version", without, without2)
    for (j = 1; j <= n; j++) {
        part = decoded(f[j])
        p = index(part, "=")
        key = substr(part, 1, p - 1)
        value = substr(part, p + 1)
        if (key == without || key == without2) continue
        value = less(key, value, without)
        value = less(key, value, without2)
        parts[i, ++part_count[i]] = key "=" value
    }
    all = ""
    for (j = 1; j <= part_count[i]; j++) all = all ";" parts[i, j]
    return all
}
function key_part(i, key, without, without2) {
    if ((i, key) in cell && key != without && key != without2)
        parts[i, ++part_count[i]] = (key == "results_version" ? key "=" : "") decoded(cell[i, key])
}
function less(key, value, without,    p) {  # error.q=fixed8@max without error.grid: *@max
    if (key !~ /\.q$/ || index(without, substr(key, 1, length(key) - 1)) != 1) return value
    p = substr(without, length(key))
    if (p !~ /^(grid|scale|rounding|overflow)$/) return value
    p = part_of(value, p)
    return p != "none" && index(value, p) ? substr(value, 1, index(value, p) - 1) "*" substr(value, index(value, p) + length(p)) : value
}

# label[i] by what the runs' settings differ in; legend_title if that is one key.
function label_by_setting(without, without2,    i, j, count, kept, p, key, keys, key_count, used) {
    for (i = 1; i <= runs; i++) if (values[i]) {
        used++
        setting_of(i, without, without2)
        for (j = 1; j <= part_count[i]; j++) count[parts[i, j]]++
    }
    for (i = 1; i <= runs; i++) if (values[i])
        for (j = 1; j <= part_count[i]; j++) if (count[parts[i, j]] < used) {
            p = index(parts[i, j], "=")
            key = p ? substr(parts[i, j], 1, p - 1) : "?"
            if (!(key in keys)) { keys[key]; key_count++ }
        }
    if (key_count == 1 && key != "?") legend_title = key
    for (i = 1; i <= runs; i++) if (values[i]) {
        kept = ""
        for (j = 1; j <= part_count[i]; j++)  # where nothing differs: all overrides
            if (key_count ? count[parts[i, j]] < used : parts[i, j] ~ /=/ && parts[i, j] !~ /^results_version=/)
                kept = kept (kept == "" ? "" : ";") parts[i, j]
        if (legend_title != "" && kept != "") kept = substr(kept, length(legend_title) + 2)
        if (kept == "" && legend_title != "") {  # what the recipe has there
            read_recipe(i)
            if (in_recipe(i, legend_title)) kept = found
        }
        label[i] = kept != "" ? kept : !key_count && (i, "recipe") in cell ? cell[i, "recipe"] : "as the recipe"
    }
}

BEGIN {
    split("fp16 16 bf16 16 dlfloat16 16 fp16_169_ieee 16 fp16-169 16 tf32 19 fp32 32 e8m0 8 fp8-152 8 hfp8_143_nosub 8", words, " ")
    for (w = 1; w in words; w += 2) named_bits[words[w]] = words[w + 1] + 0
}
