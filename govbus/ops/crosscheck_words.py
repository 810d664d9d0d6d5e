"""How comparisons are said to people: results, standings and severities, in Chinese, for whoever works with them."""

from __future__ import annotations

from collections.abc import Mapping

from govbus.catalogue.model import Severity
from govbus.rules.comparison import Result
from govbus.rules.crosscheck import Standing

RESULT_WORDS: Mapping[Result, str] = {
    Result.EQUAL: "相同",
    Result.COMPATIBLE: "相容",
    Result.DIFFERENT: "不一致",
    Result.MISSING_A: "权威来源无值",
    Result.MISSING_B: "未填报",
    Result.INVALID_A: "权威来源的值无效",
    Result.INVALID_B: "所报的值无效",
    Result.INDETERMINATE: "无法判定",
    Result.STALE_A: "权威来源尚未跟上",
    Result.STALE_B: "尚未跟上权威来源",
}

STANDING_WORDS: Mapping[Standing, str] = {
    Standing.AGREED: "一致",
    Standing.DISPUTED: "有争议",
    Standing.UNVERIFIED: "未经核验",
    Standing.PROVISIONAL: "暂无权威值",
    Standing.STALE: "待权威来源更新",
}

SEVERITY_WORDS: Mapping[Severity, str] = {"critical": "严重", "major": "重要", "minor": "一般", "info": "提示"}
SEVERITIES: tuple[Severity, ...] = ("critical", "major", "minor", "info")
"""The worst first."""
