"""What a verdict on a backtest says (``tune/verdict.py``), by code, in each language."""

from core.wording import Wording

VERDICTS: dict[str, Wording] = {
    "word_edge": Wording("edge", "우위 있음"),
    "word_unproven": Wording("unproven", "증명되지 않음"),
    "word_none": Wording("none", "우위 없음"),
    "never_judged": Wording(
        "never judged: no walk-forward was run with these instruments and rules",
        "판정한 적 없음: 이 종목과 규칙으로 워크포워드를 실행하지 않았습니다",
    ),
    "judged": Wording("{word} (walk-forward on {source})", "{word}(워크포워드 데이터: {source})"),
    "judged_because": Wording("{word} (walk-forward on {source}): {why}", "{word}(워크포워드 데이터: {source}): {why}"),
    "passed": Wording("Passed: {sentence}", "통과: {sentence}"),
    "failed_test": Wording("Failed: {sentence}", "미달: {sentence}"),
    "not_tested": Wording("Not tested: {sentence}", "시험하지 못함: {sentence}"),
    "days": Wording("{count} days", "{count}일"),
    "nothing_traded": Wording("Nothing was traded in {days}.", "{days} 동안 거래가 없었습니다."),
    "costs_too_large": Wording(
        "After all costs it made {net} USDT in {days}; before costs {gross}: the costs are larger than what it finds.",
        "{days} 동안 모든 비용을 뺀 손익 {net} USDT, 비용을 빼기 전 {gross} USDT: 찾아낸 수익보다 비용이 큽니다.",
    ),
    "nothing_before_costs": Wording(
        "After all costs it made {net} USDT in {days}; before costs {gross}: there is nothing for costs to eat.",
        "{days} 동안 모든 비용을 뺀 손익 {net} USDT, 비용을 빼기 전 {gross} USDT: 비용을 빼기 전에도 수익이 없습니다.",
    ),
    "days_run": Wording(
        "{days} were run, at least {wanted} are needed.", "실행 기간 {days}, 최소 {wanted}일이 필요합니다."
    ),
    "days_buying": Wording(
        "in {days} of {run} it was allowed to buy, at least {wanted} are needed.",
        "실행 기간 {run} 중 매수가 허용된 기간 {days}, 최소 {wanted}일이 필요합니다.",
    ),
    "trades_closed": Wording(
        "{count} trades were closed, at least {wanted} are needed.",
        "청산한 거래 {count}건, 최소 {wanted}건이 필요합니다.",
    ),
    "net_result": Wording(
        "the net result after all costs is {net} USDT, it has to be above 0.",
        "모든 비용을 뺀 손익 {net} USDT, 0보다 커야 합니다.",
    ),
    "sharpe_not_known": Wording(
        "the Sharpe ratio needs {count} {period}s or more in which the account changed differently.",
        "샤프 비율을 구하려면 계좌가 서로 다르게 변한 구간(단위: {period})이 {count}개 이상 필요합니다.",
    ),
    "one_variant": Wording("one variant was tried", "변형 1개를 시도"),
    "variants": Wording("{count} variants were tried", "변형 {count}개를 시도"),
    "deflated": Wording(
        "the probability that the true Sharpe ratio is above {luck} a year, what luck alone shows when {tried}, is "
        "{deflated} (measured {sharpe} over {observations} {period}s); at least {wanted} is needed.",
        "실제 연 샤프 비율이 운만으로 나오는 값 {luck}({tried})보다 클 확률 {deflated}"
        "(측정값 {sharpe}, 관측 {observations}개, 단위: {period}), 필요한 최소 확률 {wanted}.",
    ),
    "sharpe_by_luck": Wording(
        "Its Sharpe ratio of {sharpe} a year is not above the {luck} that luck alone shows when {tried}.",
        "연 샤프 비율 {sharpe}: 운만으로 나오는 값 {luck}({tried})보다 크지 않습니다.",
    ),
    "mean_not_known": Wording(
        "the {quantile} quantile of the mean net return of {one} needs two returns or more.",
        "평균 순수익률(단위: {period})의 {quantile} 분위수를 구하려면 수익률이 둘 이상 필요합니다.",
    ),
    "mean_low": Wording(
        "the {quantile} quantile of the mean net return of {one} is {low} bps over {resamples} resampled runs (blocks of "
        "{block} {period}s), it has to be above 0.",
        "평균 순수익률(단위: {period})의 {quantile} 분위수 {low} bps(재표본 {resamples}회, 블록 길이 {block}), "
        "0보다 커야 합니다.",
    ),
    "without_best_day": Wording(
        "without its best day it made {net} USDT, it has to be above 0.",
        "가장 좋은 하루를 뺀 손익 {net} USDT, 0보다 커야 합니다.",
    ),
    "entries_not_tried": Wording(
        "random entries could not be tried, as prices are known too rarely for so short trades: pass prices.",
        "거래가 짧은 데 비해 가격이 드물게 알려져 무작위 진입과 비교하지 못했습니다. 가격을 함께 넘기세요.",
    ),
    "entries": Wording(
        "{p} of {resamples} runs with the same trades at random times did at least as well ({realised} USDT against "
        "{median} in the middle)",
        "같은 거래를 무작위 시점에 한 {resamples}회 중 이만큼 번 비율 {p}(실제 {realised} USDT, 중앙값 {median} USDT)",
    ),
    "entries_may": Wording("{what}, at most {wanted} may.", "{what}, 최대 {wanted}까지 허용합니다."),
    "entries_as_well": Wording(
        "Entering at random does as well: {what}.", "무작위로 진입해도 결과가 같습니다: {what}."
    ),
    "overfitting_not_known": Wording(
        "{count} variants were tried, but their probability of overfitting is not known.",
        "변형 {count}개를 시도했지만 과최적화 확률을 알 수 없습니다.",
    ),
    "overfitting": Wording(
        "the probability of overfitting, that the best of {count} variants in one half of the time is below the median in "
        "the other, is {pbo}, at most {wanted} may be.",
        "과최적화 확률(변형 {count}개 중 기간 절반에서 가장 좋은 것이 나머지 절반에서 중앙값보다 낮을 확률) {pbo}, "
        "최대 {wanted}까지 허용합니다.",
    ),
    "folds": Wording(
        "{earning} of {count} folds made a net profit, at least {wanted} have to.",
        "{count}개 구간 중 {earning}개에서 순이익, 필요한 최소 비율 {wanted}.",
    ),
    "folds_idle": Wording(
        "{earning} of {count} folds made a net profit ({idle} held and traded nothing), at least {wanted} have to.",
        "{count}개 구간 중 {earning}개에서 순이익({idle}개는 보유도 거래도 없음), 필요한 최소 비율 {wanted}.",
    ),
}
