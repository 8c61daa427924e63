// SPDX-License-Identifier: Apache-2.0
// ECP5's block RAM, as far as Yosys uses it for one clock; everything else is refused.
//
// 512 rows of 4 bytes of 9 bit. A port of 18 bit or less reads and writes part of a row; with 1, 2 or 4 bit it leaves
// out the ninth bit of each byte. With 36 bit, port A only writes and port B only reads, and each uses the data pins of
// both. The lowest address pins of a port of 18 or 36 bit, which it does not need, enable its bytes.
//
// What the device does not promise is random here, so that a design which relies on it fails: words before they are
// written, although a bitstream sets them, unless some have contents that are not 0; and those that one port reads, or
// writes too, while the other writes them.
// At its end a simulation tells how many such words were read. A port that is not used may have no clock.

module DP16KD(
  input CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
  input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
  input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13, DIA14, DIA15, DIA16,
    DIA17,
  output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13, DOA14, DOA15, DOA16,
    DOA17,
  input CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2,
  input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
  input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13, DIB14, DIB15, DIB16,
    DIB17,
  output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15, DOB16,
    DOB17
);
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000";
  parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB";
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
  parameter GSR = "AUTO";
  parameter [319:0] INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0, INITVAL_04 = 0, INITVAL_05 = 0,
    INITVAL_06 = 0, INITVAL_07 = 0, INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0, INITVAL_0C = 0,
    INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0, INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0,
    INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0, INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0,
    INITVAL_1B = 0, INITVAL_1C = 0, INITVAL_1D = 0, INITVAL_1E = 0, INITVAL_1F = 0, INITVAL_20 = 0, INITVAL_21 = 0,
    INITVAL_22 = 0, INITVAL_23 = 0, INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0, INITVAL_28 = 0,
    INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0, INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0,
    INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0, INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0,
    INITVAL_37 = 0, INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0, INITVAL_3C = 0, INITVAL_3D = 0,
    INITVAL_3E = 0, INITVAL_3F = 0;

  localparam [64 * 320 - 1:0] CONTENTS = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38, INITVAL_37,
    INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E,
    INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25,
    INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C,
    INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13,
    INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A,
    INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
    INITVAL_00};

  /* verilator lint_off GENUNNAMED */  // they hold no more than a message
  generate
    if (DATA_WIDTH_A != 1 && DATA_WIDTH_A != 2 && DATA_WIDTH_A != 4 && DATA_WIDTH_A != 9 && DATA_WIDTH_A != 18
        && DATA_WIDTH_A != 36)
      $error("DATA_WIDTH_A must be 1, 2, 4, 9, 18 or 36, not %0d", DATA_WIDTH_A);
    if (DATA_WIDTH_B != 1 && DATA_WIDTH_B != 2 && DATA_WIDTH_B != 4 && DATA_WIDTH_B != 9 && DATA_WIDTH_B != 18
        && (DATA_WIDTH_B != 36 || DATA_WIDTH_A != 36))
      $error("DATA_WIDTH_B must be 1, 2, 4, 9, 18 or, if DATA_WIDTH_A is, 36, not %0d", DATA_WIDTH_B);
    if (WRITEMODE_A != "NORMAL" && WRITEMODE_A != "WRITETHROUGH" && WRITEMODE_A != "READBEFOREWRITE")
      $error("WRITEMODE_A must be NORMAL, WRITETHROUGH or READBEFOREWRITE, not %s", WRITEMODE_A);
    if (WRITEMODE_B != "NORMAL" && WRITEMODE_B != "WRITETHROUGH" && WRITEMODE_B != "READBEFOREWRITE")
      $error("WRITEMODE_B must be NORMAL, WRITETHROUGH or READBEFOREWRITE, not %s", WRITEMODE_B);
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG")
      $error("REGMODE_A and REGMODE_B must be NOREG, not %s and %s", REGMODE_A, REGMODE_B);
    if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000")
      $error("CSDECODE_A and CSDECODE_B must be 0b000, not %s and %s", CSDECODE_A, CSDECODE_B);
    if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB")
      $error("CLKAMUX and CLKBMUX must be CLKA and CLKB, not %s and %s", CLKAMUX, CLKBMUX);
    if ((RESETMODE != "SYNC" && RESETMODE != "ASYNC") || ASYNC_RESET_RELEASE != RESETMODE)
      $error("RESETMODE and ASYNC_RESET_RELEASE must both be SYNC or ASYNC, not %s and %s",
             RESETMODE, ASYNC_RESET_RELEASE);
    if (GSR != "AUTO" && GSR != "DISABLED")  // AUTO: the reset at configuration, before a simulation begins
      $error("GSR must be AUTO or DISABLED, not %s", GSR);
    if (CONTENTS != 0 && (DATA_WIDTH_A < 9 || DATA_WIDTH_B < 9))
      $error("INITVAL_00 to INITVAL_3F must be 0, as initial contents of words of less than 9 bit are not modelled");
  endgenerate

  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [17:0] dia = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3,
    DIA2, DIA1, DIA0};
  wire [17:0] dib = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3,
    DIB2, DIB1, DIB0};

  // Place of a port's word in the row.
  function automatic [5:0] place(input integer width, input [4:0] address);
    case (width)
      36: place = 0;
      18: place = address[4] ? 18 : 0;
      default: place = 6'd9 * address[4:3] + (width == 9 ? 0 : width == 4 ? {3'd0, address[2], 2'd0}
                                              : width == 2 ? {3'd0, address[2:1], 1'd0} : {3'd0, address[2:0]});
    endcase
  endfunction

  // Bits of the row that a port reads.
  function automatic [35:0] word(input integer width, input [4:0] address);
    word = (36'hfffffffff >> (36 - width)) << place(width, address);
  endfunction

  // Bits of the row that a port writes.
  function automatic [35:0] written(input integer width, input [4:0] address);
    written = word(width, address);
    if (width >= 18)
      written = written & {{9{width == 18 ? address[1] : address[3]}}, {9{width == 18 ? address[0] : address[2]}},
                           {9{address[1]}}, {9{address[0]}}};
  endfunction

  reg [35:0] rows [0:511];
  reg [35:0] read_a, read_b;
  integer lost_reads_a = 0, lost_reads_b = 0;

  // Half a row has 20 bits in the parameters.
  integer half;
  initial
    if (CONTENTS != 0)
      for (half = 0; half < 1024; half = half + 1)
        rows[half >> 1][18 * (half & 1) +: 18] = CONTENTS[20 * half +: 18];

  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
    DOA1, DOA0} = DATA_WIDTH_B == 36 ? read_b[17:0] : read_a[17:0];
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
    DOB1, DOB0} = DATA_WIDTH_B == 36 ? read_b[35:18] : read_b[17:0];

  // Without an output register OCEA and OCEB have no meaning.
  wire chosen_a = CEA && {CSA2, CSA1, CSA0} == 0;
  wire chosen_b = CEB && {CSB2, CSB1, CSB0} == 0;
  wire write_a = chosen_a && WEA && !RSTA;
  wire write_b = chosen_b && WEB && !RSTB;
  wire [35:0] bits_a = write_a ? written(DATA_WIDTH_A, ada[4:0]) : 0;
  wire [35:0] bits_b = write_b ? written(DATA_WIDTH_B, adb[4:0]) : 0;
  wire [35:0] data_a = (DATA_WIDTH_A == 36 ? {dib, dia} : {18'd0, dia}) << place(DATA_WIDTH_A, ada[4:0]);
  wire [35:0] data_b = {18'd0, dib} << place(DATA_WIDTH_B, adb[4:0]);
  wire same = ada[13:5] == adb[13:5];

  // Values within a clock edge, therefore with blocking assignments: each port's row before and after it, and whether
  // the other port writes what this one reads.
  /* verilator lint_off BLKSEQ */
  reg [35:0] noise, row_a, row_b, new_a, new_b;
  reg lost_a, lost_b;

  wire clock = CLKA || CLKB;
  reg used_a = 0, used_b = 0;  // the port has a clock

  always @(posedge clock) begin
    // At time 0, pins may seem to rise from nothing to values that nobody has set.
    if (RESETMODE == "ASYNC" && (RSTA || RSTB) && $time > 0)
      $fatal(1, "%m: RSTA and RSTB must be 0, as RESETMODE ASYNC is not modelled");
    if (DATA_WIDTH_A == 36 && write_b && $time > 0)
      $fatal(1, "%m: WEB must be 0, as port A has the data pins of port B");
    noise = 0;
    lost_a = same && |(bits_b & word(DATA_WIDTH_A, ada[4:0]));
    lost_b = same && |(bits_a & word(DATA_WIDTH_B, adb[4:0]));
    if (lost_a || lost_b)
      noise = {$urandom, $urandom};
    row_a = rows[ada[13:5]];
    row_b = rows[adb[13:5]];
    new_a = row_a & ~bits_a | data_a & bits_a;
    new_b = row_b & ~bits_b | data_b & bits_b;

    if (RSTA)
      read_a <= 0;
    else if (chosen_a && DATA_WIDTH_A != 36 && !(write_a && WRITEMODE_A == "NORMAL")) begin
      read_a <= lost_a ? noise : (WRITEMODE_A == "WRITETHROUGH" ? new_a : row_a) >> place(DATA_WIDTH_A, ada[4:0]);
      if (lost_a)
        lost_reads_a <= lost_reads_a + 1;
    end
    if (RSTB)
      read_b <= 0;
    else if (chosen_b && !(write_b && WRITEMODE_B == "NORMAL")) begin
      read_b <= lost_b ? noise : (WRITEMODE_B == "WRITETHROUGH" ? new_b : row_b) >> place(DATA_WIDTH_B, adb[4:0]);
      if (lost_b)
        lost_reads_b <= lost_reads_b + 1;
    end

    if (|bits_a || |bits_b) begin
      rows[ada[13:5]] <= same ? (row_a & ~(bits_a | bits_b)) | (data_a & bits_a & ~bits_b)
                                | (data_b & bits_b & ~bits_a) | (noise & bits_a & bits_b) : new_a;
      if (!same)
        rows[adb[13:5]] <= new_b;
    end
  end

  always @(posedge CLKA) begin
    used_a <= 1;
    if (!CLKB && (used_b || chosen_b) && $time > 0)
      $fatal(1, "%m: CLKA and CLKB must be the same clock");
  end
  always @(posedge CLKB) begin
    used_b <= 1;
    if (!CLKA && (used_a || chosen_a) && $time > 0)
      $fatal(1, "%m: CLKA and CLKB must be the same clock");
  end

  final
    if (lost_reads_a + lost_reads_b > 0)
      $display("%m: %0d words were read in a cycle in which they were written", lost_reads_a + lost_reads_b);
endmodule
