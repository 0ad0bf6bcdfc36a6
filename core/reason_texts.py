"""The reasons there are, by code, in each language."""

from core.wording import Wording

REASONS: dict[str, Wording] = {
    "both": Wording("{first}; {then}", "{first}; {then}"),
    "minute": Wording("{count} minute", "{count}분"),
    "minutes": Wording("{count} minutes", "{count}분"),
    "block": Wording("{count} block", "{count}구간"),
    "blocks": Wording("{count} blocks", "{count}구간"),
    # State of trading.
    "lost_today": Wording(
        "{name}: lost {lost} USDT today, allowed {allowed} USDT", "{name}: 오늘 손실 {lost} USDT, 허용 {allowed} USDT"
    ),
    "lost_part": Wording(
        "{name}: lost {lost}% of {base} USDT, allowed {allowed}%",
        "{name}: {base} USDT 중 {lost}% 손실, 허용 {allowed}%",
    ),
    "resumed": Wording("resumed", "거래 재개"),
    "asked_for": Wording("asked for", "사용자 요청"),
    # The starting cap of live trading.
    "live_begins": Wording("live trading begins", "실전 거래 시작"),
    "count_anew": Wording("the count began anew: {why}", "일수를 처음부터 다시 셈: {why}"),
    "clean_day": Wording("a clean day", "문제없는 하루"),
    "clean_days": Wording("clean days", "문제없는 날이 이어짐"),
    "clean_days_in_a_row": Wording("{count} clean days in a row", "{count}일 연속 문제없음"),
    "cap_anew": Wording("began anew: {why}", "처음부터 다시 시작: {why}"),
    "cap_none": Wording(
        "starting cap: none, all of trade.invest_pct may be used",
        "실전 시작 한도 없음: trade.invest_pct 전부를 쓸 수 있습니다",
    ),
    "cap_at_most": Wording(", at most {usdt} USDT", ", 최대 {usdt} USDT"),
    "cap_share": Wording(
        "starting cap: {level} % of trade.invest_pct{most}", "실전 시작 한도: trade.invest_pct 중 {level}%{most}"
    ),
    "cap_is": Wording("{share} = {usdt} USDT", "{share} = {usdt} USDT"),
    "cap_never_rises": Wording(
        "{share}; it never rises (live.cap_step_pct = 0). It stands there because {why}",
        "{share}. 오르지 않습니다(live.cap_step_pct = 0). 근거: {why}",
    ),
    "cap_rises_in_days": Wording(
        "{share}; {left} more clean days in a row raise it to {level} %{most}. It stands there because {why}",
        "{share}. 앞으로 {left}일 연속 문제가 없으면 한도가 오릅니다: {level}%{most}. 근거: {why}",
    ),
    "cap_rises_in_a_day": Wording(
        "{share}; {left} more clean day in a row raises it to {level} %{most}. It stands there because {why}",
        "{share}. 앞으로 {left}일 더 문제가 없으면 한도가 오릅니다: {level}%{most}. 근거: {why}",
    ),
    # Why an order is held.
    "held": Wording("{name}: {asked}, {allowed}", "{name}: {asked}, {allowed}"),
    "asked": Wording("asked {change} USDT", "요청 {change} USDT"),
    "asked_unknown": Wording("asked an unknown amount", "요청 금액을 알 수 없음"),
    "state_since": Wording("state {state} since {since_ms}: {reason}", "거래 상태 {state}({at} UTC부터): {reason}"),
    "no_trade": Wording(
        "nothing traded there in the last {minutes} minutes", "최근 {minutes}분 동안 시장에 체결이 없음"
    ),
    "orders_a_minute": Wording("allowed {count} orders a minute", "허용 1분에 {count}건"),
    "orders_a_day": Wording("allowed {count} orders a day", "허용 하루에 {count}건"),
    "paused": Wording("{why}: nothing is bought before {clock} UTC", "{why}: {clock} UTC 전에는 매수하지 않음"),
    "losses_in_a_row": Wording("{count} round trips in a row lost", "{count}회 연속 손실"),
    "stop_outs": Wording("{count} stop-outs within {minutes} minutes", "{minutes}분 안에 손절 {count}회"),
    "low_profit": Wording(
        "{trips} or more round trips of the last {minutes} minutes brought less than {pct}% together",
        "최근 {minutes}분 동안 왕복 거래 {trips}회 이상의 합계 수익이 {pct}% 미만",
    ),
    "cooling_down": Wording("closed less than {minutes} minutes ago", "청산한 지 {minutes}분이 안 됨"),
    "not_reconciled": Wording("not reconciled: {difference}", "계좌 대조 안 됨: {difference}"),
    "not_compared": Wording("could not be compared with the venue", "거래소와 비교할 수 없음"),
    "no_final_bar": Wording(
        "no final bar this minute, or no book of the last {seconds} s",
        "이번 분의 확정 봉이 없거나 최근 {seconds}초의 호가가 없음",
    ),
    "no_usable_book": Wording("no usable book", "쓸 수 있는 호가가 없음"),
    "equity_is": Wording("equity is {equity} USDT", "평가액 {equity} USDT"),
    "not_trading": Wording(
        "the venue gives no rules for it or does not trade it now",
        "거래소가 규칙을 알려 주지 않거나 지금 거래하지 않음",
    ),
    "decided_late": Wording(
        "decided {late} s after the minute's close, allowed {allowed} s", "분 마감 {late}초 뒤에 결정, 허용 {allowed}초"
    ),
    "clock_not_known": Wording(
        "how far the venue's clock is from ours is not known, allowed {allowed} ms",
        "거래소 시계와의 차이를 알 수 없음, 허용 {allowed} ms",
    ),
    "clock_off": Wording(
        "the venue's clock is {offset} ms from ours, allowed {allowed} ms",
        "거래소 시계와의 차이 {offset} ms, 허용 {allowed} ms",
    ),
    "cancels": Wording(
        "{count} cancels in the last minute, allowed {allowed}", "최근 1분 동안 취소 {count}건, 허용 {allowed}건"
    ),
    "premium": Wording(
        "it costs {over} bps more than at the other venue, allowed {allowed}",
        "다른 거래소보다 {over} bps 비쌈, 허용 {allowed} bps",
    ),
    "coin_sells": Wording("another market of the coin sells this minute", "같은 코인의 다른 시장이 이번 분에 매도함"),
    "least_order": Wording("the least order is {least} USDT", "최소 주문 {least} USDT"),
    "allowed": Wording(
        "allowed {room} USDT, the least order is {least} USDT", "허용 {room} USDT, 최소 주문 {least} USDT"
    ),
    # Why an exit is due.
    "entered": Wording("entered at {entry}, now {now} = {gain}%", "진입가 {entry}, 현재가 {now} = {gain}%"),
    "stop_loss_at": Wording("stop loss at -{pct}% = {level}", "손절선 -{pct}% = {level}"),
    "trailing_stop_at": Wording(
        "trailing stop {pct}% below the peak of {peak} = {level}", "트레일링 스탑: 고점 {peak} 대비 -{pct}% = {level}"
    ),
    "take_profit_at": Wording("take profit at +{pct}% = {level}", "익절선 +{pct}% = {level}"),
    "time_stop_after": Wording(
        "time stop after {minutes} minutes, held for {held}", "보유 시간 제한 {minutes}분, 보유 {held}분"
    ),
    # What became of an order without an exchange's word.
    "never_sent": Wording("never sent: {why}", "보내지 않음: {why}"),
    "not_sent": Wording("not sent: {why}", "보내지 못함: {why}"),
    "denied": Wording(
        "not placed: the venue denied it {count} times", "접수되지 않음: 거래소가 그런 주문이 없다고 {count}회 답함"
    ),
    "refused_with": Wording("refused {code}: {text}", "거래소 거부 {code}: {text}"),
    "refused": Wording("refused: {text}", "거래소 거부: {text}"),
    "executor_is_stopped": Wording("the executor is stopped", "주문 실행기가 멈춰 있음"),
    "executor_was_stopped": Wording("the executor was stopped", "주문 실행기가 멈춤"),
    "trading_halted": Wording("trading was halted", "거래가 정지됨"),
    "newer_minute": Wording("a newer minute took over", "다음 분의 결정으로 대체됨"),
    "exit_took_over": Wording("a {exit} took over", "보호 매도가 우선함: {exit}"),
    # Why a minute was missed.
    "no_record": Wording("late: no record within {seconds} s", "늦음: {seconds}초 안에 끝나지 않음"),
    "minute_over": Wording(
        "late: the next minute had closed {seconds} s ago", "늦음: 다음 분이 이미 {seconds}초 전에 마감됨"
    ),
    # Why a member has no vote.
    "absent": Wording("absent: no answer", "없음: 답이 없음"),
    "not_deployed": Wording(
        "absent: not deployed (no trained artifact?)", "없음: 배포되지 않음(학습된 모델이 없을 수 있음)"
    ),
    "late": Wording("late: no answer within {ms} ms", "늦음: {ms} ms 안에 답이 없음"),
    "failed": Wording("failed: {text}", "오류: {text}"),
    "no_reason": Wording("silent: no reason given", "답 없음: 이유를 알려 주지 않음"),
    "stale_answer": Wording(
        "stale: answers minute {said}, asked {asked}", "지난 답: {said} 분의 답, 물은 분은 {asked}"
    ),
    "not_numbers": Wording("not numbers: {name}", "숫자가 아님: {name}"),
    "wrong_shape": Wording(
        "wrong shape: {name} is {shape}, want {wanted}", "모양이 다름: {name} {shape}, 필요 {wanted}"
    ),
    "not_finite": Wording(
        "not finite: {name} of {instrument} is {value}", "유한하지 않음: {instrument} {name} = {value}"
    ),
    "negative": Wording("negative: {name} of {instrument}", "음수: {instrument} {name}"),
    "beyond_belief": Wording(
        "beyond belief: mean_bps of {instrument} is {value}, believed to {most}",
        "믿을 수 없는 값: {instrument} mean_bps = {value}, 한도 {most}",
    ),
    # What happens to the versions of a model.
    "lost_its_vote": Wording(
        "the champion lost its vote {count} minutes in a row", "챔피언이 {count}분 연속으로 투표하지 못했습니다"
    ),
    "fell_below_band": Wording(
        "the live score fell below its band: the version before it is better, {evidence}",
        "실시간 점수가 기준 아래로 떨어졌고 이전 버전이 더 낫습니다: {evidence}",
    ),
    "watched_to_the_end": Wording(
        "watched to the end: against it {evidence}", "관찰 기간을 마쳤습니다. 반대 증거: {evidence}"
    ),
    "beside": Wording("forecasts in shadow beside {champion}", "비교 대상 챔피언: {champion}"),
    "better_in_shadow": Wording("better in shadow: {evidence}", "그림자 평가에서 더 낫습니다: {evidence}"),
    "evidence": Wording(
        "score {score} a block over {minutes} in {blocks}, evidence {capital} of {needed} for {confidence} %",
        "구간당 점수 {score}({minutes}, {blocks}), 증거 {capital}/{needed}(신뢰도 {confidence}%)",
    ),
    "evidence_among": Wording(
        "score {score} a block over {minutes} in {blocks}, evidence {capital} of {needed} for {confidence} % among {tried} "
        "challengers",
        "구간당 점수 {score}({minutes}, {blocks}), 증거 {capital}/{needed}(신뢰도 {confidence}%, 도전자 {tried}개)",
    ),
    "no_champion": Wording("no champion was named", "지정된 챔피언이 없습니다"),
    "other_family": Wording(
        "it is of family {family}, the run's member is {wanted}", "모델 종류 {family}, 이 실행의 모델 종류 {wanted}"
    ),
    "other_horizon": Wording(
        "it forecasts {horizon} minutes ahead, the run {wanted}", "{horizon}분 앞을 예측, 이 실행은 {wanted}분"
    ),
    "from_the_future": Wording(
        "it has learned from minutes that this run has not reached yet", "이 실행이 아직 도달하지 않은 분까지 학습함"
    ),
    "from_clock": Wording("from {clock} UTC on", "{clock} UTC부터"),
    "from_the_first": Wording("from the first minute on", "첫 분부터"),
    "load_check_failed": Wording("{version} did not pass its load check", "{version}: 로드 점검을 통과하지 못했습니다"),
    # Parts and training.
    "died": Wording("died", "종료됨"),
    "no_pings": Wording("did not answer {count} pings", "상태 확인 {count}회에 답이 없음"),
    "exit_code": Wording("exit code {code}: {text}", "종료 코드 {code}: {text}"),
    "said_nothing": Wording("it said nothing", "출력 없음"),
    "no_version": Wording("it made no version", "새 버전이 만들어지지 않음"),
}
