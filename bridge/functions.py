"""What the bridge asks of predict: an answer for each text of a batch, whatever the batch holds."""

from collections.abc import Sequence

from contracts.predict import Answer, Answers, TextsRequest, read_answers
from process.functions import Function, FunctionUnavailable, RequestRefused
from process.halves import by_halves


def predict(function: Function, texts: Sequence[str], *, explain: bool = False) -> Answers:
    """Return an answer for each text, a score or an error, and the model (empty if none was scored).

    explain: the answers name the words that decided. Raises FunctionUnavailable.
    """
    query = "?record=false&explain=true" if explain else "?record=false"

    def score(part: Sequence[str]) -> Answers:
        answer = function.post(TextsRequest(part), read_answers, query=query)
        if len(answer.predictions) != len(part):
            raise FunctionUnavailable(f"{function.url} gave {len(answer.predictions)} answers for {len(part)} texts")
        return answer

    predictions: list[Answer] = []
    models: set[str] = set()
    for _, answer in by_halves(texts, score, RequestRefused):
        if isinstance(answer, RequestRefused):
            predictions.append(Answer(error=str(answer)))
        else:
            predictions += answer.predictions
            models.add(answer.model)
    if len(models) > 1:
        raise FunctionUnavailable("the model was swapped between two halves of a batch")
    return Answers(predictions, models.pop() if models else "")
