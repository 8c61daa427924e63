# SPDX-License-Identifier: Apache-2.0
"""The host's ends of a chip's link in simulation."""

from backspike.sim.verilator.runner import build, default_seed, run

ECHO = """
module echo(
  input clk, input rst,
  input [31:0] s_axis_tdata, input s_axis_tlast, input s_axis_tvalid, output s_axis_tready,
  output reg [31:0] m_axis_tdata, output reg m_axis_tlast, output reg m_axis_tvalid, input m_axis_tready
);
  assign s_axis_tready = ~m_axis_tvalid | m_axis_tready;
  always @(posedge clk)
    if (rst) m_axis_tvalid <= 0;
    else if (s_axis_tready) begin
      m_axis_tvalid <= s_axis_tvalid;
      m_axis_tdata <= s_axis_tdata;
      m_axis_tlast <= s_axis_tlast;
    end
endmodule
"""


def test_the_ends_of_a_link(tmp_path):
    (tmp_path / "echo.v").write_text(ECHO)
    run(
        build([tmp_path / "echo.v"], "echo", tmp_path / "build"),
        "tests.hw.benches.bench_axi_stream",
        seed=default_seed(),
    )
