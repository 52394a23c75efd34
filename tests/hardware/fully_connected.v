// One fully connected layer of a WAGE training step (2-8-8-8), replayed from the files of `fxsim dump --trace --as hex`.
//
// Behavioural, written from the arithmetic of the paper in integers: nothing here comes from the simulator. Every register
// that a file is written from is as wide as manifest.csv says, the accumulators too, so that a width too small shows.
// Parameters come from manifest.csv and step.csv (tests/test_hardware.sh: -P), paths from plusargs:
//   +vec=DIR the dump, +out=DIR where the same files are written, +layer=NAME, +before=NAME and +next=NAME its neighbours,
//   +source=FILE the sums that the layer's activation is made of (of a first layer not read).
module fully_connected;
    parameter BATCH = 1, INPUTS = 1, OUTPUTS = 1;
    parameter FIRST = 0, LAST = 0;           // reads the image; is compared with the labels
    parameter SOURCE_BITS = 32;              // of the sums before this layer
    parameter SUM_BITS = 32;                 // of its own sums
    parameter LOSS_BITS = 33;                // of outputs minus targets
    parameter NEXT_BITS = 32;                // of the error sums that the layer behind hands down
    parameter BACK_BITS = 32;                // of those that this one hands down
    parameter GRADIENT_BITS = 32, WORD_BITS = 32;
    parameter SATURATE = 0;                  // accumulators stop at their ends; else they wrap, which exact sums never do
    parameter ALPHA = 0, ALPHA_BEFORE = 0;   // log2 of alpha
    parameter LIMIT = 64;                    // of kept weights
    parameter RATE_MANTISSA = 16384, RATE_EXPONENT = -14;

    localparam WEIGHTS = INPUTS * OUTPUTS, IN = BATCH * INPUTS, OUT = BATCH * OUTPUTS;
    localparam signed [63:0] CODE_MAX = 127; // of 8 bits, symmetric

    reg signed [7:0] store [0:WEIGHTS-1];
    reg signed [1:0] weight [0:WEIGHTS-1];
    reg signed [SOURCE_BITS-1:0] source [0:IN-1];
    reg signed [SOURCE_BITS-1:0] rectified [0:IN-1];
    reg [0:0] rectified_mask [0:IN-1];
    reg [0:0] clip_mask [0:IN-1];
    reg signed [7:0] x [0:IN-1];             // what the products read
    reg signed [SUM_BITS-1:0] sum [0:OUT-1];
    reg signed [SUM_BITS-1:0] own_rectified [0:OUT-1];
    reg [0:0] own_mask [0:OUT-1];
    reg [0:0] own_clip [0:OUT-1];
    reg signed [LOSS_BITS-1:0] loss [0:OUT-1];
    reg signed [NEXT_BITS-1:0] handed [0:OUT-1];
    reg signed [63:0] raw [0:OUT-1];         // the error before its quantiser
    reg signed [7:0] quantised [0:OUT-1];
    reg signed [7:0] error [0:OUT-1];
    reg signed [BACK_BITS-1:0] back [0:IN-1];
    reg signed [GRADIENT_BITS-1:0] gradient [0:WEIGHTS-1];
    reg [WORD_BITS-1:0] random [0:WEIGHTS-1];
    reg signed [7:0] update [0:WEIGHTS-1];
    reg signed [7:0] after [0:WEIGHTS-1];
    reg [7:0] labels [0:BATCH-1];

    reg [8*1024-1:0] vec, out, layer, layer_before, layer_next, source_file;

    // x / 2^shift to the nearest integer, ties to the even one; a negative shift multiplies.
    function signed [63:0] nearest_even(input signed [63:0] value, input integer shift);
        reg [63:0] magnitude, quotient, rest, half;
        begin
            magnitude = value < 0 ? -value : value;
            if (shift <= 0)
                quotient = magnitude << -shift;
            else begin
                quotient = magnitude >> shift;
                rest = magnitude - (quotient << shift);
                half = 64'd1 << (shift - 1);
                if (rest > half || (rest == half && quotient[0])) // tie
                    quotient = quotient + 1;
            end
            nearest_even = value < 0 ? -$signed(quotient) : $signed(quotient);
        end
    endfunction

    function signed [63:0] clamp(input signed [63:0] value, input signed [63:0] limit);
        clamp = value > limit ? limit : value < -limit ? -limit : value;
    endfunction

    // round(log2 m), m >= 1: up where m^2 > 2^(2n+1), n = floor(log2 m).
    function integer round_log2(input [63:0] m);
        integer n;
        reg [127:0] square;
        begin
            n = 0;
            while (m >> (n + 1) != 0)
                n = n + 1;
            square = m;
            square = square * square;
            round_log2 = square > (128'd1 << (2 * n + 1)) ? n + 1 : n;
        end
    endfunction

    // One addition of an accumulator of `bits`.
    function signed [63:0] add(input signed [63:0] sum_so_far, input signed [63:0] product, input integer bits);
        reg signed [63:0] high, whole;
        begin
            high = (64'sd1 <<< (bits - 1)) - 1;
            whole = sum_so_far + product;
            if (SATURATE)
                add = whole > high ? high : whole < -high - 1 ? -high - 1 : whole;
            else
                add = (whole <<< (64 - bits)) >>> (64 - bits);
        end
    endfunction

    // ---- the step -------------------------------------------------------------------------------------------------

    integer n, i, o, e, shift;
    reg signed [63:0] total, largest, magnitude;
    reg [127:0] scaled, whole, fraction;

    task make_weights; // Q_W: 8 bits to 2
        for (i = 0; i < WEIGHTS; i = i + 1)
            weight[i] = clamp(nearest_even(store[i], 6), 1);
    endtask

    task make_activations; // ReLU, shift by 1 + log2 alpha of the layer before, saturate
        begin
            shift = 1 + ALPHA_BEFORE;
            for (i = 0; i < IN; i = i + 1) begin
                rectified_mask[i] = source[i] > 0;
                rectified[i] = source[i] > 0 ? source[i] : 0;
                clip_mask[i] = rectified[i] <= (CODE_MAX << shift);
                x[i] = clamp(nearest_even(rectified[i], shift), CODE_MAX);
            end
        end
    endtask

    task forward;
        for (n = 0; n < BATCH; n = n + 1)
            for (o = 0; o < OUTPUTS; o = o + 1) begin
                total = 0;
                for (i = 0; i < INPUTS; i = i + 1)
                    total = add(total, x[n * INPUTS + i] * weight[i * OUTPUTS + o], SUM_BITS);
                e = n * OUTPUTS + o;
                sum[e] = total;
                own_mask[e] = sum[e] > 0;
                own_rectified[e] = sum[e] > 0 ? sum[e] : 0;
                own_clip[e] = own_rectified[e] <= (CODE_MAX << (1 + ALPHA));
            end
    endtask

    task make_errors; // the maximum is behind the clip mask and before the ReLU mask
        begin
            largest = 0;
            for (e = 0; e < OUT; e = e + 1) begin
                if (LAST) begin // the target 1.0 is 2^7 * 2 * alpha
                    raw[e] = sum[e];
                    if (e % OUTPUTS == labels[e / OUTPUTS])
                        raw[e] = raw[e] - (64'sd256 << ALPHA);
                    loss[e] = raw[e];
                end else
                    raw[e] = own_clip[e] ? handed[e] : 0;
                magnitude = raw[e] < 0 ? -raw[e] : raw[e];
                if (magnitude > largest)
                    largest = magnitude;
            end
            shift = largest == 0 ? 0 : round_log2(largest) - 7;
            for (e = 0; e < OUT; e = e + 1) begin
                quantised[e] = clamp(nearest_even(raw[e], shift), CODE_MAX);
                error[e] = LAST || own_mask[e] ? quantised[e] : 0;
            end
        end
    endtask

    task hand_down;
        for (n = 0; n < BATCH; n = n + 1)
            for (i = 0; i < INPUTS; i = i + 1) begin
                total = 0;
                for (o = 0; o < OUTPUTS; o = o + 1)
                    total = add(total, error[n * OUTPUTS + o] * weight[i * OUTPUTS + o], BACK_BITS);
                back[n * INPUTS + i] = total;
            end
    endtask

    task add_gradients;
        for (i = 0; i < INPUTS; i = i + 1)
            for (o = 0; o < OUTPUTS; o = o + 1) begin
                total = 0;
                for (n = 0; n < BATCH; n = n + 1)
                    total = add(total, x[n * INPUTS + i] * error[n * OUTPUTS + o], GRADIENT_BITS);
                gradient[i * OUTPUTS + o] = total;
            end
    endtask

    // k = floor(|dW| * rate / 2^n'), one more where the fraction lies above the random word: fraction * 2^B > R * 2^f.
    task update_weights;
        begin
            largest = 0;
            for (i = 0; i < WEIGHTS; i = i + 1) begin
                magnitude = gradient[i] < 0 ? -gradient[i] : gradient[i];
                if (magnitude > largest)
                    largest = magnitude;
            end
            shift = (largest == 0 ? 0 : round_log2(largest)) - RATE_EXPONENT;
            for (i = 0; i < WEIGHTS; i = i + 1) begin
                magnitude = gradient[i] < 0 ? -gradient[i] : gradient[i];
                scaled = magnitude;
                scaled = scaled * RATE_MANTISSA;
                if (shift <= 0)
                    whole = scaled << -shift;
                else begin
                    whole = scaled >> shift;
                    fraction = scaled - (whole << shift);
                    if ((fraction << WORD_BITS) > ({{(128 - WORD_BITS){1'b0}}, random[i]} << shift))
                        whole = whole + 1;
                end
                whole = whole > CODE_MAX ? CODE_MAX : whole;
                update[i] = gradient[i] < 0 ? -$signed(whole[7:0]) : $signed(whole[7:0]);
                after[i] = clamp(store[i] - update[i], LIMIT);
            end
        end
    endtask

    // ---- files ----------------------------------------------------------------------------------------------------

    task read_files;
        begin
            $readmemh($sformatf("%0s/%0s.store.before.hex", vec, layer), store);
            $readmemh($sformatf("%0s/%0s.gradient.random.hex", vec, layer), random);
            if (FIRST)
                $readmemh($sformatf("%0s/%0s.input.hex", vec, layer), x);
            else
                $readmemh($sformatf("%0s/%0s", vec, source_file), source);
            if (LAST)
                $readmemh($sformatf("%0s/labels.hex", vec), labels);
            else
                $readmemh($sformatf("%0s/%0s.sum.error.hex", vec, layer_next), handed);
        end
    endtask

    task write_files;
        begin
            $writememh($sformatf("%0s/%0s.weight.hex", out, layer), weight);
            if (!FIRST) begin
                $writememh($sformatf("%0s/%0s.relu.hex", out, layer_before), rectified);
                $writememh($sformatf("%0s/%0s.relu.mask.hex", out, layer_before), rectified_mask);
                $writememh($sformatf("%0s/%0s.activation.hex", out, layer), x);
                $writememh($sformatf("%0s/%0s.activation.clip.hex", out, layer), clip_mask);
                $writememh($sformatf("%0s/%0s.sum.error.hex", out, layer), back);
            end
            $writememh($sformatf("%0s/%0s.sum.forward.hex", out, layer), sum);
            if (LAST) begin
                $writememh($sformatf("%0s/%0s.logits.hex", out, layer), sum);
                $writememh($sformatf("%0s/%0s.logits.error.hex", out, layer), loss);
            end else begin
                $writememh($sformatf("%0s/%0s.relu.hex", out, layer), own_rectified);
                $writememh($sformatf("%0s/%0s.relu.mask.hex", out, layer), own_mask);
                $writememh($sformatf("%0s/%0s.activation.clip.hex", out, layer_next), own_clip);
            end
            $writememh($sformatf("%0s/%0s.error.quantised.hex", out, layer), quantised);
            $writememh($sformatf("%0s/%0s.error.hex", out, layer), error);
            $writememh($sformatf("%0s/%0s.sum.gradient.hex", out, layer), gradient);
            $writememh($sformatf("%0s/%0s.update.hex", out, layer), update);
            $writememh($sformatf("%0s/%0s.store.after.hex", out, layer), after);
        end
    endtask

    initial begin
        if (!$value$plusargs("vec=%s", vec) || !$value$plusargs("out=%s", out) || !$value$plusargs("layer=%s", layer) ||
            (!FIRST && !($value$plusargs("source=%s", source_file) && $value$plusargs("before=%s", layer_before))) ||
            (!LAST && !$value$plusargs("next=%s", layer_next))) begin
            $display("fully_connected: +vec=, +out=, +layer=, and +source=, +before=, +next= where there are such are needed");
            $finish;
        end
        read_files;
        make_weights;
        if (!FIRST)
            make_activations;
        forward;
        make_errors;
        if (!FIRST)
            hand_down;
        add_gradients;
        update_weights;
        write_files;
        $finish;
    end
endmodule
