"""Texts of ours in each language, and the single words that may stand in them."""

from dataclasses import dataclass

LANGUAGES = ("en", "ko")


@dataclass(frozen=True, slots=True)
class Wording:
    """One text in each language; ``{names}`` are filled from the values it is told with.

    No Korean particle follows a value whose ending is not known: the particle depends on that ending.
    """

    en: str
    ko: str


WORDS: dict[str, dict[str, str]] = {
    "en": {
        "stop_loss": "stop loss",
        "trailing_stop": "trailing stop",
        "take_profit": "take-profit",
        "time_stop": "time stop",
    },
    "ko": {
        "stop_loss": "손절",
        "trailing_stop": "트레일링 스탑",
        "take_profit": "익절",
        "time_stop": "보유 시간 제한",
        "buy": "매수",
        "sell": "매도",
        "active": "정상",
        "reducing": "매도만 가능",
        "halted": "매수 정지",
        "replay": "리플레이",
        "paper": "모의투자",
        "live": "실전",
        "not given": "알려 주지 않음",
        "none": "없음",
        "unknown": "알 수 없음",
        "shadow": "그림자 평가",
        "start": "시작",
        "load check": "로드 점검",
        "hour": "시간",
        "day": "일",
        # Limits, by the key of the setting that a reader would change.
        "unreconciled_account": "계좌 대조",
        "not_fresh": "최신 시세",
        "no_book": "호가",
        "equity": "평가액",
        "venue_rules": "거래소 규칙",
        "max_order_pct": "주문 한도(max_order_pct)",
        "max_order_usdt": "주문 한도(max_order_usdt)",
        "max_position_pct": "종목 한도(max_position_pct)",
        "max_pct": "종목 한도(max_pct)",
        "max_gross_pct": "총 노출 한도(max_gross_pct)",
        "invest_pct": "투자 비율(invest_pct)",
        "starting_cap": "실전 시작 한도",
        "free_cash": "사용 가능 현금",
        "venue_max_qty": "거래소 최대 수량",
        "max_orders_per_minute": "주문 건수 한도",
        "min_order": "최소 주문",
        "one_sale_a_coin": "같은 코인 매도는 1건",
        "max_premium_bps": "프리미엄 한도(max_premium_bps)",
        "max_decision_delay_ms": "결정 지연 한도(max_decision_delay_ms)",
        "max_clock_offset_ms": "시계 오차 한도(max_clock_offset_ms)",
        "max_cancels_per_minute": "취소 건수 한도(max_cancels_per_minute)",
        "max_consecutive_losses": "연속 손실 보호(max_consecutive_losses)",
        "max_stop_outs": "손절 횟수 보호(max_stop_outs)",
        "low_profit_pct": "저수익 보호(low_profit_pct)",
        "cooldown_minutes": "재매수 대기(cooldown_minutes)",
        "cost_gate": "비용 기준(cost_gate)",
        "max_position_volatility_pct": "종목 변동성 한도(max_position_volatility_pct)",
        "kelly_fraction": "켈리 한도(kelly_fraction)",
        "target_volatility_pct": "전체 변동성 한도(target_volatility_pct)",
        "shock_scale": "변동성 급등 한도(shock_scale)",
        "stale_minutes": "거래 없음(stale_minutes)",
        "daily_loss_pct": "일일 손실 한도(daily_loss_pct)",
        "daily_loss_usdt": "일일 손실 한도(daily_loss_usdt)",
        "max_drawdown_pct": "최대 낙폭 한도(max_drawdown_pct)",
    },
}
"""Values that are words of ours, in each language; venue texts and numbers stay as they are."""
