// The picture follows the handle of its slider.
document.addEventListener("input", ({ target }) => {
  if (target.matches(".compare input")) target.parentElement.style.setProperty("--share", `${target.value}%`);
});
